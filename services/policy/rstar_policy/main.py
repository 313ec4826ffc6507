"""Entry point: read settings, build, run. The only file that knows everyone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rstar_policy.settings import PolicySettings

USAGE = """\
Serves rstar.v1.PolicyService: candidate next steps from SGLang or the bootstrap proposer.

Settings come from RSTAR_POLICY_… (nested: RSTAR_POLICY_GRPC__ADDRESS), over the TOML file
named by RSTAR_CONFIG, over defaults. Unknown settings are refused.
"""

EXAMPLES = """\
examples:
  RSTAR_POLICY_ENGINE=bootstrap RSTAR_POLICY_GRPC__ADDRESS=127.0.0.1:50051 rstar-policy
  RSTAR_POLICY_MODEL=./models/policy RSTAR_POLICY_PROMPT_FORMAT=mini rstar-policy
  RSTAR_CONFIG=infra/config/policy-qwen2.5-math-7b.toml rstar-policy
"""


def main() -> None:
    """Run until SIGTERM."""
    argparse.ArgumentParser(
        prog="rstar-policy",
        description=USAGE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    # The engine is exec'ed at once after its fork, so gRPC need not prepare for forks, nor
    # warn that it could not. Must be set before gRPC is imported.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    # After the arguments, so that --help answers at once.
    from rstar_common.config import load_settings
    from rstar_common.lifecycle import run_main
    from rstar_common.telemetry import setup_logging
    from rstar_policy.settings import PolicySettings

    settings = load_settings(PolicySettings)
    setup_logging("policy", settings.telemetry)
    run_main(serve(settings))


async def serve(
    settings: PolicySettings, *, on_listening: Callable[[int], None] | None = None
) -> None:
    """Build the engine that the settings name, and serve it."""
    from rstar.v1 import policy_pb2_grpc
    from rstar_common.lifecycle import run_service
    from rstar_common.rpc import Readiness, grpc_server
    from rstar_common.telemetry import metrics_server
    from rstar_policy.build import build
    from rstar_policy.servicer import PolicyServicer

    readiness = Readiness()
    async with build(settings, readiness) as (engine, components):
        servicer = PolicyServicer(
            engine,
            max_inflight=settings.max_inflight,
            timeout_seconds=settings.timeout_seconds,
            max_step_tokens=settings.max_step_tokens,
        )
        server = grpc_server(
            settings.grpc,
            lambda server: policy_pb2_grpc.add_PolicyServiceServicer_to_server(servicer, server),
            service_names=["rstar.v1.PolicyService"],
            on_listening=on_listening,
            readiness=readiness,
        )
        await run_service(
            {**components, "grpc": server, "metrics": metrics_server(settings.telemetry)},
            drain_seconds=settings.grpc.drain_seconds,
        )


if __name__ == "__main__":
    main()
