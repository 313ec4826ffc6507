"""`python -m rstar_searcher.bench.cluster`: three NATS servers, and the leader is killed.

A batch on the simulated services with streams of three copies. Again and again the server that
leads one of the streams gets SIGKILL while problems are searched; it comes back, catches up,
and the next leader goes. One JSON line: results, duplicates, trees equal to those of an
undisturbed search, and how long after each death the next result was stored.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import nats.errors
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from rstar.v1 import searcher_pb2
from rstar_common import streams
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected
from rstar_common.config import NatsSettings
from rstar_common.processes import service
from rstar_searcher.bench import texts
from rstar_searcher.bench.command import command_line, print_line
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.nats_cluster import NODES, Cluster
from rstar_searcher.bench.parameters import BASE
from rstar_searcher.bench.processes import infrastructure, simulated_servers, store_settings
from rstar_searcher.bench.scale import submission_of, submit
from rstar_searcher.bench.undisturbed import same_trees

COPIES = 3
LED = (streams.WORK, streams.RESULTS, streams.JOURNAL)
"""Whose leaders are killed, in turn."""

SEARCHERS = 2
PLACES = 8
LEASE = {"LEASE_SECONDS": "2", "NATS__ACK_WAIT_SECONDS": "3"}
DOWN_SECONDS = 2.0
READY_SECONDS = 60.0
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Deaths:
    """When whom."""

    led: list[str] = field(default_factory=list[str])
    at: list[float] = field(default_factory=list[float])


async def measure_cluster(
    *, problems: int, rollouts: int, every: float, scale: float, limit: float
) -> dict[str, object]:
    """Search a batch while leaders die; see the module."""
    submission = submission_of("led")
    submission.settings.rollouts = rollouts
    for pid in range(problems):
        submission.problems.add(problem_id=f"p{pid}", question=texts.question_of(pid))
    deaths = Deaths()
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory, with_nats=False))
        address, _ = await stack.enter_async_context(
            simulated_servers(directory, parameters=BASE.name, scale=scale)
        )
        cluster = Cluster(directory, await stack.enter_async_context(AsyncExitStack()))
        for name in NODES:
            await cluster.begin(name)
        nats = NatsSettings(servers=cluster.urls, replicas=COPIES)
        bus = await stack.enter_async_context(connected(nats, name="bench"))
        jetstream = bus.jetstream()
        await _created(jetstream)
        environment = searcher_settings(address, settings) | LEASE
        environment |= {
            "NATS__SERVERS": json.dumps(cluster.urls),
            "NATS__REPLICAS": str(COPIES),
            "MAX_BATCH_SEARCHES": str(PLACES),
        }
        for _ in range(SEARCHERS):
            await stack.enter_async_context(service("searcher", directory, environment))
        started = time.perf_counter()
        await submit(jetstream, submission)
        async with _leaders_die(cluster, jetstream, every, deaths), asyncio.timeout(limit):
            await _ended(jetstream, problems)
        took = time.perf_counter() - started
        stored = await _stored(jetstream)
        dead = [
            searcher_pb2.DeadLetter.FromString(data).failure.message
            for _, data in await _messages(jetstream, streams.DEAD)
        ]
        results = [result for _, result in stored]
        store = ObjectStore(store_settings(settings))
        trees = await same_trees(store, results, submission.settings, BASE)
    recoveries = _recoveries(deaths.at, [at for at, _ in stored])
    distinct = len({result.problem_id for result in results})
    return {
        "servers": len(NODES),
        "copies": COPIES,
        "problems": problems,
        "rollouts": rollouts,
        "time_scale": scale,
        "seconds": round(took, 1),
        "leaders_killed": len(deaths.at),
        "leaders_of": sorted(set(deaths.led)),
        "results": len(results),
        "lost": problems - distinct,
        "duplicated": len(results) - distinct,
        "dead_letters": dead,
        "trees_equal_to_undisturbed": trees,
        "next_result_seconds_median": round(median(recoveries), 2) if recoveries else None,
        "next_result_seconds_worst": round(max(recoveries), 2) if recoveries else None,
        "goal_met": len(results) == distinct == problems == trees and not dead,
    }


async def _created(jetstream: JetStreamContext) -> None:
    """Make the streams, as soon as the servers have found each other."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                return await streams.ensure_topology(jetstream, replicas=COPIES)
            except (nats.errors.Error, APIError):
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _leaders_die(
    cluster: Cluster, jetstream: JetStreamContext, every: float, deaths: Deaths
) -> AsyncGenerator[None]:
    """Kill leaders for the length of the block; all servers live after it."""
    over = asyncio.Event()

    async def killing() -> None:
        for stream in itertools.cycle(LED):
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every)
            if over.is_set():
                return
            leader = await _leader(jetstream, stream)
            deaths.led.append(stream)
            await cluster.kill(leader)
            deaths.at.append(time.time())
            await asyncio.sleep(DOWN_SECONDS)
            await cluster.begin(leader)

    async with asyncio.TaskGroup() as group:
        group.create_task(killing())
        try:
            yield
        finally:
            over.set()


async def _leader(jetstream: JetStreamContext, stream: str) -> str:
    """Who leads a stream, once every stream has all its copies again."""
    while True:
        try:
            clusters = {name: (await jetstream.stream_info(name)).cluster for name in LED}
        except (nats.errors.Error, APIError):
            clusters = {}
        known = clusters.get(stream)
        if known and known.leader and all(map(_whole, clusters.values())):
            return known.leader
        await asyncio.sleep(POLL_SECONDS)


def _whole(cluster: api.ClusterInfo | None) -> bool:
    if cluster is None or not cluster.leader:
        return False
    copies = cluster.replicas or []
    return len(copies) == COPIES - 1 and all(copy.current and not copy.offline for copy in copies)


async def _ended(jetstream: JetStreamContext, problems: int) -> None:
    while True:
        with suppress(nats.errors.Error, APIError):
            results = (await jetstream.stream_info(streams.RESULTS)).state.messages
            dead = (await jetstream.stream_info(streams.DEAD)).state.messages
            if results + dead >= problems:
                return
        # Counting is the only way to see results that survives the death of a server.
        await asyncio.sleep(POLL_SECONDS)


async def _stored(jetstream: JetStreamContext) -> list[tuple[float, searcher_pb2.BatchResult]]:
    """Every result and when it was stored."""
    return [
        (at, searcher_pb2.BatchResult.FromString(data))
        for at, data in await _messages(jetstream, streams.RESULTS)
    ]


async def _messages(jetstream: JetStreamContext, stream: str) -> list[tuple[float, bytes]]:
    """What a stream holds, in order, and when it was stored."""
    info = await jetstream.stream_info(stream)
    found = []
    for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
        with suppress(NotFoundError):  # replaced by a later message of its subject
            message = await jetstream.get_msg(stream, sequence)
            assert message.time is not None
            found.append((message.time.timestamp(), message.data or b""))
    return found


def _recoveries(deaths: Sequence[float], results: Sequence[float]) -> list[float]:
    """From each death until the next result; a death after the last result has none."""
    ordered = sorted(results)
    nexts = ((died, next((at for at in ordered if at > died), None)) for died in deaths)
    return [at - died for died, at in nexts if at is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    parser = command_line("cluster", __doc__)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--rollouts", type=int, default=2)
    parser.add_argument("--every", type=float, default=6.0, help="seconds between two kills")
    parser.add_argument("--scale", type=float, default=10.0, help="simulated seconds a second")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds until it is given up")
    options = parser.parse_args(arguments)
    report = asyncio.run(
        measure_cluster(
            problems=options.problems,
            rollouts=options.rollouts,
            every=options.every,
            scale=options.scale,
            limit=options.limit,
        )
    )
    print_line("leaders killed", report)


if __name__ == "__main__":
    main()
