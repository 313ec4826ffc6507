"""Entry point of the sandbox service: settings, gVisor, sandboxes, then calls."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rstar_sandbox.settings import SandboxSettings

logger = logging.getLogger(__name__)

USAGE = """\
Settings come from the environment (prefix RSTAR_SANDBOX_, two underscores between section and
name) and from the TOML file that RSTAR_CONFIG names. Needs gVisor: infra/gvisor/install.sh.

example:
  RSTAR_SANDBOX_GRPC__ADDRESS=127.0.0.1:7103 RSTAR_SANDBOX_SANDBOX__SANDBOXES=2 rstar-sandbox
"""


def main() -> None:
    """Run until SIGTERM."""
    argparse.ArgumentParser(
        prog="rstar-sandbox",
        description="Runs model-written Python and judges answers, both inside gVisor.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    # gRPC's fork hooks only complain here: we start programs, we do not fork.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from rstar_common.config import load_settings
    from rstar_common.lifecycle import run_main
    from rstar_common.telemetry import setup_logging
    from rstar_sandbox.settings import SandboxSettings

    settings = load_settings(SandboxSettings)
    setup_logging("sandbox", settings.telemetry)
    run_main(serve(settings))


async def serve(
    settings: SandboxSettings, *, on_listening: Callable[[int], None] | None = None
) -> None:
    """Serve on real gVisor; tests call this too."""
    from rstar.v1 import sandbox_pb2_grpc
    from rstar_common.lifecycle import run_service
    from rstar_common.rpc import grpc_server
    from rstar_common.telemetry import metrics_server
    from rstar_sandbox.environment import prepared
    from rstar_sandbox.judge import Judge
    from rstar_sandbox.pool import Pool
    from rstar_sandbox.servicer import SandboxServicer

    async with prepared(settings.sandbox) as environment:
        pool = Pool(settings.sandbox, environment)
        servicer = SandboxServicer(settings, pool, Judge(pool, at_once=pool.slots))
        server = grpc_server(
            settings.grpc,
            lambda server: sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(servicer, server),
            service_names=["rstar.v1.SandboxService"],
            on_listening=on_listening,
        )

        async def listen(stop: asyncio.Event) -> None:
            # Nobody is told that we listen before there is something to run in.
            waits = [asyncio.ensure_future(event.wait()) for event in (pool.ready, stop)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if not stop.is_set():
                await server(stop)

        components = {
            "pool": pool.run,
            "grpc": listen,
            "metrics": metrics_server(settings.telemetry),
        }
        await run_service(components, drain_seconds=settings.grpc.drain_seconds + 5)


if __name__ == "__main__":
    main()
