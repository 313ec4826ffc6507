"""`python -m rstar_searcher.bench.real_cancel`: as the part `cancel`, on the real engine.

    rstar up && python -m rstar_searcher.bench.real_cancel; rstar down

A long search is ended in its middle: by `CancelSearch`, by its caller's leaving, by a
deadline. Policy and sandbox are asked for their own metrics (sequences in flight, busy slots)
until both say 0 and stay there. Because a gauge could be wrong about the engine behind it, the
processor time of policy, engine and sandbox is told too: a second of the search's middle
beside the second that begins 200 ms after its end.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc
from rstar_common.processes import cpu_seconds
from rstar_searcher.bench.command import command_line, print_line
from rstar_searcher.bench.real_stack import Metrics, pids, rstar
from rstar_searcher.request import new_search_id

GOAL_SECONDS = 0.2
GAUGES = {"policy": "rstar_policy_sequences_inflight", "sandbox": "rstar_sandbox_busy_slots"}
LOOK_SECONDS = 0.005
LONGEST_SECONDS = 120.0
QUESTION = "Solve {}*x + 123*x - 2426 = 61*x + 785 for x."

Stub: TypeAlias = "searcher_pb2_grpc.SearcherServiceAsyncStub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What came of one end."""

    seconds: float
    """From the act to the first look that found nothing and was followed by none that did."""

    busy_before: float
    busy_after: float
    """Processor seconds a second of policy, engine and sandbox, before and 200 ms after."""


class Watch:
    """Looks at policy and sandbox."""

    def __init__(self, metrics: Mapping[str, Metrics], roots: Sequence[int]) -> None:
        self._metrics = metrics
        self._roots = roots

    async def held(self, *kinds: str) -> float:
        """What the services say that they hold now."""
        values = [self._metrics[kind].value(GAUGES[kind]) for kind in kinds or GAUGES]
        return sum(await asyncio.gather(*values))

    async def until_held(self, kind: str) -> None:
        """Wait until a search is at work there."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while True:
                if await self.held(kind):
                    return
                # Metrics are there to be looked at; they tell nobody.
                await asyncio.sleep(LOOK_SECONDS)

    async def freed(self, over: float, busy_before: float) -> Freed:
        """Wait until nothing is held, for good."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while True:
                held, free_at = await self.held(), _clock()
                if not held:
                    # Being looked at costs the policy processor time: for a second nobody looks.
                    await asyncio.sleep(max(0.0, over + GOAL_SECONDS - _clock()))
                    busy_after = await self.busy(1.0)
                    if not await self.held():
                        break
                await asyncio.sleep(LOOK_SECONDS)
        return Freed(seconds=free_at - over, busy_before=busy_before, busy_after=busy_after)

    async def busy(self, seconds: float) -> float:
        """Processor seconds a second, from now on."""
        before = self.cpu_seconds()
        await asyncio.sleep(seconds)
        return (self.cpu_seconds() - before) / seconds

    def cpu_seconds(self) -> float:
        """Of the services and all their children until now."""
        total = 0.0
        for pid in _families(self._roots):
            with suppress(OSError):
                total += cpu_seconds(pid)
        return total


async def measure(*, tries: int) -> dict[str, object]:
    """Three ways to end a search, some tries each."""
    async with AsyncExitStack() as stack:
        metrics = {kind: Metrics(kind) for kind in GAUGES}
        address = json.loads(await rstar("env", "--json"))["RSTAR_ADDRESS"]
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        watch = Watch(metrics, list((await pids(("policy", "sandbox"))).values()))
        rng = Random(1)
        report: dict[str, object] = {"tries": tries, "goal_ms": round(1000 * GOAL_SECONDS)}
        met = True
        for way in (_cancel_search, _caller_leaves, _deadline):
            found = [await way(stub, watch, rng) for _ in range(tries)]
            late = sorted(each.seconds for each in found)
            met = met and late[-1] <= GOAL_SECONDS
            report[way.__name__.strip("_")] = {
                "p50_ms": round(1000 * late[len(late) // 2], 1),
                "max_ms": round(1000 * late[-1], 1),
                "within_goal": sum(each <= GOAL_SECONDS for each in late),
                "cpu_share_before": round(sum(e.busy_before for e in found) / tries, 3),
                "cpu_share_after": round(sum(e.busy_after for e in found) / tries, 3),
            }
        report["goal_met"] = met
    return report


async def _cancel_search(stub: Stub, watch: Watch, rng: Random) -> Freed:
    key = secrets.token_hex(8)
    solving = asyncio.ensure_future(_ended(stub.Solve(_request(rng, key), timeout=LONGEST_SECONDS)))
    busy = await _in_the_middle(watch, rng)
    over = _clock()
    await stub.CancelSearch(searcher_pb2.CancelSearchRequest(search_id=new_search_id(key)))
    freed = await watch.freed(over, busy)
    await solving
    return freed


async def _caller_leaves(stub: Stub, watch: Watch, rng: Random) -> Freed:
    call = stub.Solve(_request(rng), timeout=LONGEST_SECONDS)
    solving = asyncio.ensure_future(_ended(call))
    busy = await _in_the_middle(watch, rng)
    over = _clock()
    call.cancel()
    freed = await watch.freed(over, busy)
    await solving
    return freed


async def _deadline(stub: Stub, watch: Watch, rng: Random) -> Freed:
    """Below zero: it is over before the deadline, so that the answer so far still arrives."""
    seconds = 3.0
    over = _clock() + seconds
    solving = asyncio.ensure_future(_ended(stub.Solve(_request(rng), timeout=seconds)))
    await watch.until_held("policy")
    busy = await watch.busy(1.0)
    await solving
    return await watch.freed(over, busy)


def _request(rng: Random, key: str = "") -> searcher_pb2.SolveRequest:
    request = searcher_pb2.SolveRequest(idempotency_key=key)
    request.problem.question = QUESTION.format(rng.randrange(2, 10_000))
    # Many trees: one alone runs dry within seconds where a policy has little to say.
    request.settings.trees, request.settings.rollouts, request.settings.candidates = 64, 16, 16
    request.settings.seed = rng.randrange(10**6)
    return request


async def _in_the_middle(watch: Watch, rng: Random) -> float:
    await watch.until_held("policy")
    busy = await watch.busy(1.0 + rng.random())
    await watch.until_held("policy")  # else there would be nothing to free
    return busy


async def _ended(call: Awaitable[object]) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call


def _families(roots: Sequence[int]) -> list[int]:
    """Processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(roots)
    for pid in found:  # grows while it is read
        found += children.get(pid, [])
    return found


def _clock() -> float:
    return asyncio.get_running_loop().time()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    parser = command_line("real_cancel", __doc__)
    parser.add_argument("--tries", type=int, default=8, help="of each way")
    report = asyncio.run(measure(tries=parser.parse_args(arguments).tries))
    print_line("cancel, real engine", report)


if __name__ == "__main__":
    main()
