"""`python -m rstar_searcher.bench.kills`: searchers are killed all the time, and nothing is lost.

A batch of problems on the simulated services, with real NATS and S3 and two searcher
processes; every few seconds one of them, by chance, gets SIGKILL and is started again. One
JSON line tells whether every problem has exactly one result, whether every tree equals that
of an undisturbed search (one rollout at a time, one seed), and how many expansions were
asked for twice beside how many searches were under way when their searcher was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rstar.v1 import events_pb2, searcher_pb2
from rstar_common import streams
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import connected, publish_once
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.errors import NotFound, Unavailable
from rstar_common.processes import service
from rstar_searcher.batches import Batches
from rstar_searcher.bench import texts
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.machine import machine
from rstar_searcher.bench.parameters import CANDIDATES, SETS
from rstar_searcher.bench.processes import infrastructure, simulated_servers
from rstar_searcher.bench.undisturbed import same_trees

BATCH = "killed-and-whole"
SEARCHERS = ("one", "two")
PLACES = 8
"""Queued problems that one searcher searches at once."""

LEASE = {"LEASE_SECONDS": "2", "NATS__ACK_WAIT_SECONDS": "3"}
"""Short, so that many deaths fit into a run: what is waited out after each."""

POLL_SECONDS = 0.5
PROBLEM_PAGE = 1_000


@dataclass(slots=True)
class Deaths:
    """Who lives, and what died."""

    rng: Random
    living: dict[str, int] = field(default_factory=dict[str, int])
    """Process of each searcher that serves."""

    died: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    kills: int = 0

    def kill_one(self) -> None:
        """SIGKILL to one that serves, if one does."""
        if not self.living:
            return
        name = self.rng.choice(sorted(self.living))
        with suppress(ProcessLookupError):
            os.kill(self.living.pop(name), signal.SIGKILL)
            self.kills += 1
        self.died[name].set()


async def measure_kills(
    *, problems: int, rollouts: int, every: float, parameters: str, scale: float, limit: float
) -> dict[str, object]:
    """Search a batch under fire; see the module."""
    submission = _submission(problems, rollouts)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory))
        services, server = await stack.enter_async_context(
            simulated_servers(directory, parameters=parameters, scale=scale)
        )
        environment = searcher_settings(services, settings) | LEASE
        environment["MAX_BATCH_SEARCHES"] = str(PLACES)
        nats = NatsSettings(servers=json.loads(settings["NATS__SERVERS"]))
        bus = await stack.enter_async_context(connected(nats, name="bench"))
        jetstream = bus.jetstream()
        await streams.ensure_topology(jetstream)
        batches = Batches(
            jetstream, await streams.key_value(jetstream, streams.BATCH_RECORDS, replicas=1)
        )
        deaths = Deaths(Random(1))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            over = asyncio.Event()
            for name in SEARCHERS:
                group.create_task(_lives(name, directory, environment, deaths, over))
            killing = group.create_task(_killing(deaths, every))
            await publish_once(
                jetstream,
                streams.BATCH_SUBMIT,
                submission.SerializeToString(),
                headers={"Content-Type": "application/protobuf"},
            )
            with suppress(TimeoutError):  # what there is by then is reported all the same
                async with asyncio.timeout(limit):
                    await _finished(batches)
            killing.cancel()
            over.set()
        took = time.perf_counter() - started
        record, _ = await batches.record(BATCH)
        batch = await batches.describe(record)
        results = await _results(batches)
        server.terminate()
        assert server.stdout is not None
        seen = json.loads(await server.stdout.readline())
        store = ObjectStore(_store_settings(settings))
        trees = await same_trees(store, results, submission.settings, SETS[parameters])
    by_problem = Counter(result.problem_id for result in results)
    repeated = seen["expansions"] - seen["distinct_expansions"]
    return {
        "problems": problems,
        "rollouts": rollouts,
        "time_scale": scale,
        "parameters": parameters,
        "seconds": round(took, 1),
        "kills": deaths.kills,
        "kill_every_seconds": every,
        "dead_letters": batch.dead,
        "results": len(results),
        "problems_with_exactly_one_result": sum(n == 1 for n in by_problem.values()),
        "trees_equal_to_undisturbed": trees,
        "expansions": seen["expansions"],
        "distinct_expansions": seen["distinct_expansions"],
        "repeated_expansions": repeated,
        "aborted_by_a_death": seen["aborted_expansions"],
        "searches_a_searcher": PLACES,
        "most_under_way_at_kills": deaths.kills * PLACES,
        "goal_met": len(results) == len(by_problem) == problems == trees
        and batch.dead == 0
        and repeated <= deaths.kills * PLACES,
    }


async def _lives(
    name: str, directory: Path, environment: dict[str, str], deaths: Deaths, over: asyncio.Event
) -> None:
    ending = asyncio.ensure_future(over.wait())
    while not over.is_set():
        async with service("searcher", directory, environment) as (_, pid):
            deaths.died[name] = asyncio.Event()
            deaths.living[name] = pid
            dying = asyncio.ensure_future(deaths.died[name].wait())
            await asyncio.wait((ending, dying), return_when=asyncio.FIRST_COMPLETED)
            deaths.living.pop(name, None)
            dying.cancel()


async def _killing(deaths: Deaths, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        deaths.kill_one()


async def _finished(batches: Batches) -> None:
    while True:
        # Counting the batch's messages is the only way to see it from outside a searcher.
        with suppress(NotFound, Unavailable):
            record, _ = await batches.record(BATCH)
            batch = await batches.describe(record)
            if batch.state == searcher_pb2.BATCH_STATE_DONE:
                return
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


def _store_settings(settings: dict[str, str]) -> ObjectStoreSettings:
    prefix = "OBJECT_STORE__"
    return ObjectStoreSettings.model_validate(
        {
            name.removeprefix(prefix).lower(): value
            for name, value in settings.items()
            if name.startswith(prefix)
        }
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_searcher.bench.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    line = {"benchmark": "search under kills", "machine": machine(), **report}
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
