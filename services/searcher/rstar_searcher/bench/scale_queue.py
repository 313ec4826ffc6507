"""What a long queue costs: the same operations and the same memory with few and many problems.

Problems are queued by the intake and, while nothing searches, asked about and taken by hand;
then a searcher works on them with services that answer at once. Each depth has a system of its own,
all of them run beside each other, and operations are done on each in turn: a figure can only differ
by what is queued.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import grpc
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from rstar.v1 import events_pb2, types_pb2
from rstar.v1.searcher_pb2 import BatchResult, GetBatchRequest
from rstar.v1.searcher_pb2_grpc import BatchServiceStub
from rstar_common import streams
from rstar_common.bus import connected
from rstar_common.config import NatsSettings
from rstar_common.consumer import EVERYTHING
from rstar_common.processes import cpu_seconds, memory_bytes, service
from rstar_searcher.batches import Batches
from rstar_searcher.bench import texts
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.processes import infrastructure, simulated_servers
from rstar_searcher.bench.scale import submission_of, submit

BATCH_PROBLEMS = 1_000
"""Of each batch queued; the depth is that of many batches, as publishers send them."""

PROGRAMS = {"nats": "nats-server", "store": "weed"}
TAKE_SECONDS = 5.0
WARM_UP = 10
"""Operations of each that are not counted."""

SAMPLES = 200
FEW_SAMPLES = 40
SEARCHED = 200
"""Problems searched at each depth."""

TREES = 16
POLL_SECONDS = 0.05
LIMIT_SECONDS = 900.0
GOAL_SLOWER = 1.25
"""A median may be so much higher and still count as not slower: that of two equal runs varies."""


@dataclass(slots=True, kw_only=True)
class Depth:
    """One depth: its system, and what was measured there."""

    queued: int
    directory: Path
    environment: dict[str, str]
    jetstream: JetStreamContext
    address: str = ""
    intake_per_second: float = 0.0
    milliseconds: dict[str, float] = field(default_factory=dict[str, float])
    """Medians, by operation."""

    megabytes: dict[str, float] = field(default_factory=dict[str, float])


Operation = Callable[[], Awaitable[object]]


async def measure_queue(depths: Sequence[int]) -> dict[str, object]:
    """Every operation at each depth, in turns, and the ratios of the last to the first."""
    async with AsyncExitStack() as stack:
        rows = [await _system(stack, depth) for depth in depths]
        async with AsyncExitStack() as searchers:
            for row in rows:
                row.address, pid = await searchers.enter_async_context(
                    service("searcher", row.directory, row.environment)
                )
                began = time.perf_counter()
                await _queue(row.jetstream, row.queued)
                row.intake_per_second = row.queued / (time.perf_counter() - began)
                row.megabytes = {"searcher": memory_bytes([pid]) / 1e6}
                for name in PROGRAMS:
                    row.megabytes[name] = memory_bytes(_pids(name, row.directory)) / 1e6
            await _asked(rows)
        await _taken(rows)
        async with asyncio.TaskGroup() as group:  # side by side, each with half of the machine
            for row in rows:
                group.create_task(_searched(row))
    first, last = rows[0], rows[-1]
    slower = {
        name: round(last.milliseconds[name] / took, 2) for name, took in first.milliseconds.items()
    }
    grown = {name: round(last.megabytes[name] - mb, 1) for name, mb in first.megabytes.items()}
    return {
        "depths": [
            {
                "queued": row.queued,
                "intake_problems_per_second": round(row.intake_per_second, 1),
                "median_ms": {name: round(ms, 3) for name, ms in row.milliseconds.items()},
                "memory_mb": {name: round(mb, 1) for name, mb in row.megabytes.items()},
            }
            for row in rows
        ],
        "times_as_long": slower,
        "memory_grew_mb": grown,
        "goal_met": max(slower.values()) <= GOAL_SLOWER,
    }


async def _system(stack: AsyncExitStack, depth: int) -> Depth:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
    settings = await stack.enter_async_context(infrastructure(directory))
    services, _ = await stack.enter_async_context(
        simulated_servers(directory, parameters="instant-short")
    )
    nats = NatsSettings(servers=json.loads(settings["NATS__SERVERS"]))
    bus = await stack.enter_async_context(connected(nats, name="bench"))
    environment = searcher_settings(services, settings)
    environment["MAX_BATCH_SEARCHES"] = str(TREES)
    jetstream = bus.jetstream()
    await streams.ensure_topology(jetstream)
    await _hold_work(jetstream)
    return Depth(queued=depth, directory=directory, environment=environment, jetstream=jetstream)


async def _searched(row: Depth) -> None:
    async with service("searcher", row.directory, row.environment) as (_, pid):
        before, began = cpu_seconds(pid), time.perf_counter()
        await _until(row.jetstream, streams.RESULTS, SEARCHED)
        took = time.perf_counter() - began
        row.milliseconds["search and result"] = 1000 * took / SEARCHED
        row.milliseconds["searcher CPU a problem"] = 1000 * (cpu_seconds(pid) - before) / SEARCHED


def _pids(name: str, directory: Path) -> list[int]:
    """The program of this run by that name."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if PROGRAMS[name] in command and str(directory) in command:
                found.append(int(entry.name))
    return found


async def _queue(jetstream: JetStreamContext, depth: int) -> None:
    """Publish batches and wait until all of them wait as work."""
    for first in range(0, depth, BATCH_PROBLEMS):
        submission = submission_of(f"queued-{first}")
        for pid in range(first, min(depth, first + BATCH_PROBLEMS)):
            submission.problems.add(
                problem_id=f"p{pid}", question=texts.question_of(pid % SEARCHED)
            )
        await submit(jetstream, submission)
    await _until(jetstream, streams.WORK, depth)


async def _asked(rows: Sequence[Depth]) -> None:
    """Publish, result and status of each system in turns, by themselves."""
    async with AsyncExitStack() as stack:
        published, stored, asked = [], [], []
        for row in rows:
            bucket = await streams.key_value(row.jetstream, streams.BATCH_RECORDS)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(row.address))
            batches, stub = Batches(row.jetstream, bucket), BatchServiceStub(channel)
            published.append(partial(_publish, batches, count()))
            stored.append(partial(_store, batches, count()))
            asked.append(partial(stub.GetBatch, GetBatchRequest(batch_id="queued-0")))
        await _in_turns(rows, "publish", published, SAMPLES)
        await _in_turns(rows, "result", stored, SAMPLES)
        await _in_turns(rows, "status", asked, FEW_SAMPLES)
    for row in rows:
        await row.jetstream.purge_stream(streams.RESULTS)


async def _publish(batches: Batches, ticket: Iterator[int]) -> None:
    problem = types_pb2.Problem(problem_id=f"w{next(ticket)}")
    await batches.put_work(events_pb2.WorkItem(batch_id="by hand", problem=problem))


async def _store(batches: Batches, ticket: Iterator[int]) -> None:
    await batches.put_result(BatchResult(batch_id="by hand", problem_id=f"r{next(ticket)}"))


async def _in_turns(
    rows: Sequence[Depth], name: str, operations: Sequence[Operation], samples: int
) -> None:
    """The median of each system; whatever else the machine does meets all of them alike."""
    took: list[list[float]] = [[] for _ in rows]
    for sample in range(samples + WARM_UP):
        for spent, operation in zip(took, operations, strict=True):
            began = time.perf_counter()
            await operation()
            if sample >= WARM_UP:
                spent.append(time.perf_counter() - began)
    for row, spent in zip(rows, took, strict=True):
        row.milliseconds[name] = 1000 * median(spent)


async def _taken(rows: Sequence[Depth]) -> None:
    """Taking a problem as searchers do, and acknowledging it."""
    taking = []
    for row in rows:
        await row.jetstream.resume_consumer(streams.WORK, streams.SEARCHERS)
        work = await row.jetstream.pull_subscribe_bind(streams.SEARCHERS, stream=streams.WORK)
        taking.append(partial(_take, work))
    await _in_turns(rows, "take", taking, SAMPLES)


async def _take(work: JetStreamContext.PullSubscription) -> None:
    [message] = await work.fetch(1, timeout=TAKE_SECONDS)
    await message.ack_sync()


async def _hold_work(jetstream: JetStreamContext) -> None:
    """Make the searchers' consumer before they do, and pause it: they pull and get nothing."""
    await jetstream.add_consumer(
        streams.WORK,
        ConsumerConfig(
            durable_name=streams.SEARCHERS,
            filter_subject=EVERYTHING,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30.0,
            max_deliver=-1,
            max_ack_pending=100_000,
        ),
    )
    until = datetime.now(UTC) + timedelta(seconds=LIMIT_SECONDS)
    await jetstream.pause_consumer(streams.WORK, streams.SEARCHERS, until.isoformat())


async def _until(jetstream: JetStreamContext, stream: str, messages: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if (await jetstream.stream_info(stream)).state.messages >= messages:
                return
            # Counting costs a millisecond; following the stream would cost every message.
            await asyncio.sleep(POLL_SECONDS)
