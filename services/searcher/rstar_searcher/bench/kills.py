"""`python -m rstar_searcher.bench.kills`: services are killed all the time, and nothing is lost.

A batch of problems on the simulated services, with real NATS and S3 and two searcher
processes. Every few seconds one of searcher, policy, PPM, sandbox and NATS, by chance, gets
SIGKILL and is started again. One JSON line tells whether every problem has exactly one
result, whether every tree equals that of an undisturbed search (one rollout at a time, one
seed), and how many expansions were asked for twice beside how many can have been under way.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random

from nats.aio.client import Client

from rstar.v1 import events_pb2, searcher_pb2
from rstar_common import streams
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected, publish_once
from rstar_common.config import NatsSettings
from rstar_common.errors import NotFound, Unavailable
from rstar_common.processes import HOST, free_ports, service
from rstar_searcher.batches import Batches
from rstar_searcher.bench import texts
from rstar_searcher.bench.command import command_line, print_line
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.lives import Begin, Lives
from rstar_searcher.bench.parameters import CANDIDATES, SETS
from rstar_searcher.bench.processes import (
    infrastructure,
    nats_server,
    simulated_servers,
    store_settings,
)
from rstar_searcher.bench.undisturbed import same_trees

BATCH = "killed-and-whole"
SEARCHERS = 2
PLACES = 8
"""Queued problems that one searcher searches at once, one expansion each."""

AT_STAKE = {
    "searcher": PLACES,
    "policy": SEARCHERS * PLACES,
    # Without NATS a searcher cannot show that it lives: others may take what it has.
    "nats": SEARCHERS * PLACES,
    # Their calls are made again, the proposal before them is not.
    "ppm": 0,
    "sandbox": 0,
}
"""Expansions that one kill may cause to be asked for again: those under way."""

LEASE = {"LEASE_SECONDS": "2", "NATS__ACK_WAIT_SECONDS": "3"}
"""Short, so that many deaths fit into a run: what is waited out after each."""

POLL_SECONDS = 0.5
PROBLEM_PAGE = 1_000


async def measure_kills(
    *, problems: int, rollouts: int, every: float, parameters: str, scale: float, limit: float
) -> dict[str, object]:
    """Search a batch under fire; see the module."""
    submission = _submission(problems, rollouts)
    lives = Lives(Random(1))
    over = asyncio.Event()
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        expanded = directory / "expanded"
        settings = await stack.enter_async_context(infrastructure(directory, with_nats=False))
        cast = _cast(directory, settings, parameters, scale, expanded)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for name, begin in cast.items():
                group.create_task(lives.live(name, begin, over))
            nats = NatsSettings(servers=json.loads(settings["NATS__SERVERS"]))
            bus = await stack.enter_async_context(connected(nats, name="bench"))
            batches = await _published(bus, submission)
            killing = group.create_task(lives.kill_every(every))
            with suppress(TimeoutError):  # what there is by then is reported all the same
                async with asyncio.timeout(limit):
                    await _finished(batches)
            killing.cancel()
            took = time.perf_counter() - started
            dead, results = await _ended(batches)
            over.set()
        asked = expanded.read_text().splitlines()
        store = ObjectStore(store_settings(settings))
        trees = await same_trees(store, results, submission.settings, SETS[parameters])
    by_problem = Counter(result.problem_id for result in results)
    repeated = len(asked) - len(set(asked))
    at_stake = sum(AT_STAKE[kind] * count for kind, count in lives.kills.items())
    return {
        "problems": problems,
        "rollouts": rollouts,
        "time_scale": scale,
        "parameters": parameters,
        "seconds": round(took, 1),
        "kills": sum(lives.kills.values()),
        "killed": dict(lives.kills),
        "kill_every_seconds": every,
        "dead_letters": dead,
        "results": len(results),
        "problems_with_exactly_one_result": sum(n == 1 for n in by_problem.values()),
        "trees_equal_to_undisturbed": trees,
        "expansions": len(asked),
        "distinct_expansions": len(set(asked)),
        "repeated_expansions": repeated,
        "searches_a_searcher": PLACES,
        "most_under_way_at_kills": at_stake,
        "goal_met": len(results) == len(by_problem) == problems == trees
        and dead == 0
        and repeated <= at_stake,
    }


def _cast(
    directory: Path, settings: dict[str, str], parameters: str, scale: float, expanded: Path
) -> dict[str, Begin]:
    """Everybody who may be killed."""
    ports = dict(zip(("policy", "ppm", "sandbox"), free_ports(3), strict=True))
    environment = searcher_settings("", settings) | LEASE
    environment["MAX_BATCH_SEARCHES"] = str(PLACES)
    for kind, port in ports.items():
        environment[f"{kind.upper()}_ADDRESS"] = f"{HOST}:{port}"

    @asynccontextmanager
    async def simulated(kind: str) -> AsyncGenerator[int]:
        asked = str(expanded) if kind == "policy" else ""
        async with simulated_servers(
            directory, parameters=parameters, scale=scale, port=ports[kind], expanded=asked
        ) as (_, child):
            yield child.pid

    @asynccontextmanager
    async def searcher() -> AsyncGenerator[int]:
        async with service("searcher", directory, environment) as (_, pid):
            yield pid

    @asynccontextmanager
    async def nats() -> AsyncGenerator[int]:
        port = int(json.loads(settings["NATS__SERVERS"])[0].rpartition(":")[2])
        async with nats_server(directory, port) as child:
            yield child.pid

    stand_ins: dict[str, Begin] = {kind: partial(simulated, kind) for kind in ports}
    searchers: dict[str, Begin] = {f"searcher {n}": searcher for n in range(SEARCHERS)}
    return {"nats": nats} | stand_ins | searchers


async def _published(bus: Client, submission: events_pb2.BatchSubmission) -> Batches:
    jetstream = bus.jetstream()
    await streams.ensure_topology(jetstream)
    await publish_once(
        jetstream,
        streams.BATCH_SUBMIT,
        submission.SerializeToString(),
        headers={"Content-Type": "application/protobuf"},
    )
    return Batches(jetstream, await streams.key_value(jetstream, streams.BATCH_RECORDS, replicas=1))


async def _finished(batches: Batches) -> None:
    while True:
        # Counting the batch's messages is the only way to see it from outside a searcher.
        with suppress(NotFound, Unavailable):
            record, _ = await batches.record(BATCH)
            batch = await batches.describe(record)
            if batch.state == searcher_pb2.BATCH_STATE_DONE:
                return
        await asyncio.sleep(POLL_SECONDS)


async def _ended(batches: Batches) -> tuple[int, list[searcher_pb2.BatchResult]]:
    """Dead letters and results, once NATS answers: it may be the last that was killed."""
    while True:
        try:
            record, _ = await batches.record(BATCH)
            return (await batches.describe(record)).dead, await _results(batches)
        except Unavailable:
            await asyncio.sleep(POLL_SECONDS)


async def _results(batches: Batches) -> list[searcher_pb2.BatchResult]:
    found: list[searcher_pb2.BatchResult] = []
    after = ""
    while True:
        page, after = await batches.results(BATCH, page_size=PROBLEM_PAGE, page_token=after)
        found += page
        if len(page) < PROBLEM_PAGE:
            return found


def _submission(problems: int, rollouts: int) -> events_pb2.BatchSubmission:
    submission = events_pb2.BatchSubmission(batch_id=BATCH)
    for pid in range(problems):
        submission.problems.add(problem_id=f"p{pid}", question=texts.question_of(pid))
    settings = submission.settings
    settings.rollouts, settings.candidates, settings.parallel_rollouts = rollouts, CANDIDATES, 1
    settings.max_trajectory_tokens, settings.seed = 65_536, 7
    return submission


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    parser = command_line("kills", __doc__)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--set", choices=[*SETS], default="base")
    parser.add_argument("--scale", type=float, default=4.0, help="simulated seconds a real second")
    parser.add_argument("--limit", type=float, default=3_600.0, help="seconds until it is given up")
    options = parser.parse_args(arguments)
    report = asyncio.run(
        measure_kills(
            problems=options.problems,
            rollouts=options.rollouts,
            every=options.every,
            parameters=options.set,
            scale=options.scale,
            limit=options.limit,
        )
    )
    print_line("search under kills", report)


if __name__ == "__main__":
    main()
