"""What still answers in a system that has stopped: asked once, before it is ended.

A write to each stream and bucket that a search needs, to the store, and a call of every tier, past
the proxies and through them. Then every service tells its stacks, and so do NATS and the store,
which end with it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial

from rstar.v1 import (
    policy_pb2,
    policy_pb2_grpc,
    ppm_pb2,
    ppm_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
)
from rstar_cli.chaos.system import FOUNDATIONS, SEARCHERS, System
from rstar_cli.local.ports import HOST
from rstar_common import streams
from rstar_common.errors import InvalidInput, NotFound
from rstar_common.rpc import call, channel

PROBE_SECONDS = 3.0
TELLING_SECONDS = 3.0
"""For stacks to reach the logs."""

_PROBE = "chaos-probe"


async def examine(system: System, tell: Callable[[str], None]) -> None:
    """Tell what answers and what does not; the system is of no use afterwards."""
    for name, probe in _probes(system).items():
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await probe()
            tell(f"  {name}: answers")
        except Exception as error:  # whatever it is, it is the answer
            tell(f"  {name}: {type(error).__name__}: {error}")
    for unit in system.units.values():
        unit.tell(signal.SIGABRT if unit.name in FOUNDATIONS else signal.SIGQUIT)
    await asyncio.sleep(TELLING_SECONDS)


def _probes(system: System) -> dict[str, Callable[[], Awaitable[object]]]:
    jetstream = system.jetstream

    async def put(bucket: str) -> None:
        await (await jetstream.key_value(bucket)).put(_PROBE, b"")

    probes: dict[str, Callable[[], Awaitable[object]]] = {
        "a write to the journal": partial(
            jetstream.publish, streams.journal_subject(_PROBE), b"", timeout=PROBE_SECONDS
        ),
        "a purge of the journal": partial(
            jetstream.purge_stream, streams.JOURNAL, subject=streams.journal_subject(_PROBE)
        ),
        "a write to the searches": partial(put, streams.SEARCH_RECORDS),
        "a write to the store": partial(system.store.put, f"probe/{_PROBE}", bytes(2**18)),
    }
    for tier, port in system.tiers.ports.items():
        probes[tier] = partial(_calls, tier, port)
        for searcher in SEARCHERS:
            proxy = system.proxies[searcher, tier]
            probes[f"{tier} from {searcher}"] = partial(_calls, tier, proxy.port)
    return probes


async def _calls(tier: str, port: int) -> None:
    """Any status a handler gives is an answer; what the channel makes up is none."""
    async with channel(f"{HOST}:{port}") as wire:
        try:
            if tier == "policy":
                policy = policy_pb2_grpc.PolicyServiceStub(wire)
                await call(policy.Propose(policy_pb2.ProposeRequest()))
            elif tier == "ppm":
                ppm = ppm_pb2_grpc.PpmServiceStub(wire)
                await call(ppm.Score(ppm_pb2.ScoreRequest(ppm_version=_PROBE)))
            else:
                sandbox = sandbox_pb2_grpc.SandboxServiceStub(wire)
                await call(sandbox.Judge(sandbox_pb2.JudgeRequest()))
        except (InvalidInput, NotFound):
            return
