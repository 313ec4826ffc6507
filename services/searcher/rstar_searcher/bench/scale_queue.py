"""What a long queue costs: the same operations and the same memory with few and many problems.

Problems are queued by the intake and, while nothing searches, asked about and taken by hand;
then a searcher works on them with services that answer at once. All of it happens at each depth,
in a system of its own, so that a figure can only differ by what is queued.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from rstar.v1 import events_pb2, searcher_pb2, searcher_pb2_grpc, types_pb2
from rstar_common import streams
from rstar_common.bus import connected
from rstar_common.config import NatsSettings
from rstar_common.processes import cpu_seconds, memory_bytes, service
from rstar_searcher.batches import Batches
from rstar_searcher.bench import texts
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.processes import infrastructure, simulated_servers
from rstar_searcher.bench.scale import submission_of, submit

BATCH_PROBLEMS = 1_000
"""Of each batch queued; the depth is that of many batches, as publishers send them."""

CONSUMER = "searchers"
PROGRAMS = {"nats": "nats-server", "store": "weed"}
TAKE_SECONDS = 5.0
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
    """What was measured at one depth."""

    queued: int
    intake_per_second: float
    milliseconds: dict[str, float]
    """Medians, by operation."""

    megabytes: dict[str, float]


async def measure_queue(depths: Sequence[int]) -> dict[str, object]:
    """Every operation at each depth, and the ratios of the last to the first."""
    rows = [await _at(depth) for depth in depths]
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
                "median_ms": row.milliseconds,
                "memory_mb": row.megabytes,
            }
            for row in rows
        ],
        "times_as_long": slower,
        "memory_grew_mb": grown,
        "goal_met": max(slower.values()) <= GOAL_SLOWER,
    }


async def _at(depth: int) -> Depth:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory))
        services, _ = await stack.enter_async_context(
            simulated_servers(directory, parameters="instant-short")
        )
        nats = NatsSettings(servers=json.loads(settings["NATS__SERVERS"]))
        bus = await stack.enter_async_context(connected(nats, name="bench"))
        jetstream = bus.jetstream()
        environment = searcher_settings(services, settings)
        environment["MAX_BATCH_SEARCHES"] = str(TREES)
        await streams.ensure_topology(jetstream)
        await _hold_work(jetstream)
        async with service("searcher", directory, environment) as (address, pid):
            began = time.perf_counter()
            await _queue(jetstream, depth)
            intake = depth / (time.perf_counter() - began)
            took = await _asked(jetstream, address)
            megabytes = {
                "searcher": memory_bytes([pid]) / 1e6,
                **{name: memory_bytes(_pids(name, directory)) / 1e6 for name in PROGRAMS},
            }
        await jetstream.resume_consumer(streams.WORK, CONSUMER)
        took["take"] = await _taken(jetstream)
        async with service("searcher", directory, environment) as (_, pid):
            before, began = cpu_seconds(pid), time.perf_counter()
            await _until(jetstream, streams.RESULTS, SEARCHED)
            took["search and result"] = 1000 * (time.perf_counter() - began) / SEARCHED
            took["searcher CPU a problem"] = 1000 * (cpu_seconds(pid) - before) / SEARCHED
    return Depth(
        queued=depth,
        intake_per_second=intake,
        milliseconds={name: round(ms, 2) for name, ms in took.items()},
        megabytes={name: round(mb, 1) for name, mb in megabytes.items()},
    )


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


async def _asked(jetstream: JetStreamContext, address: str) -> dict[str, float]:
    """Each operation by itself, in milliseconds."""
    batches = Batches(jetstream, await streams.key_value(jetstream, streams.BATCH_RECORDS))
    ticket = iter(range(10**9))

    async def publish() -> None:
        problem = types_pb2.Problem(problem_id=f"w{next(ticket)}")
        await batches.put_work(events_pb2.WorkItem(batch_id="by hand", problem=problem))

    async def result() -> None:
        done = searcher_pb2.BatchResult(batch_id="by hand", problem_id=f"r{next(ticket)}")
        await batches.put_result(done)

    async with grpc.aio.insecure_channel(address) as channel:
        stub = searcher_pb2_grpc.BatchServiceStub(channel)

        async def status() -> None:
            await stub.GetBatch(searcher_pb2.GetBatchRequest(batch_id="queued-0"))

        took = {
            "publish": await _median(publish, SAMPLES),
            "result": await _median(result, SAMPLES),
            "status": await _median(status, FEW_SAMPLES),
        }
    await jetstream.purge_stream(streams.RESULTS)
    return took


async def _median(operation: Callable[[], Awaitable[None]], samples: int) -> float:
    took = []
    for _ in range(samples):
        began = time.perf_counter()
        await operation()
        took.append(time.perf_counter() - began)
    return 1000 * sorted(took)[samples // 2]


async def _taken(jetstream: JetStreamContext) -> float:
    """Taking a problem as searchers do, and giving it back."""
    work = await jetstream.pull_subscribe_bind(CONSUMER, stream=streams.WORK)

    async def take() -> None:
        [message] = await work.fetch(1, timeout=TAKE_SECONDS)
        await message.nak()

    took = await _median(take, SAMPLES)
    await work.unsubscribe()
    return took


async def _hold_work(jetstream: JetStreamContext) -> None:
    """Make the searchers' consumer before they do, and pause it: they pull and get nothing."""
    await jetstream.add_consumer(
        streams.WORK,
        ConsumerConfig(
            durable_name=CONSUMER,
            filter_subject=streams.WORK_ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30.0,
            max_deliver=-1,
            max_ack_pending=100_000,
        ),
    )
    until = datetime.now(UTC) + timedelta(seconds=LIMIT_SECONDS)
    await jetstream.pause_consumer(streams.WORK, CONSUMER, until.isoformat())


async def _until(jetstream: JetStreamContext, stream: str, messages: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if (await jetstream.stream_info(stream)).state.messages >= messages:
                return
            # Counting costs a millisecond; following the stream would cost every message.
            await asyncio.sleep(POLL_SECONDS)
