"""`python -m rstar_searcher.bench.scale`: does work grow with replicas, and at what price.

Searcher processes, each capped at the same number of trees, share one work queue before simulated
services that have room for all of them and sleep instead of computing. Every replica brings the
same problems, so the mix of work is the same for any number of them. Throughput is taken between
the tenth and the ninetieth hundredth of the results: neither start nor end counts.

    replicas    problems a second, and processor time a problem, of 1, 2, 4 … searchers; the same
                of policies, PPMs and sandboxes (`scale_tiers`)
    queue       publish, take, result, status and memory with 1,000 and 100,000 problems queued

The JSON line names what would limit more replicas: the cap on trees (which more replicas
raise), the cores of this machine, or the simulated engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from nats.js import JetStreamContext

from rstar.v1 import events_pb2
from rstar_common import streams
from rstar_common.bus import connected, publish_once
from rstar_common.config import NatsSettings
from rstar_common.processes import cpu_seconds, memory_bytes, service
from rstar_searcher.bench import texts
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.machine import machine
from rstar_searcher.bench.parameters import CANDIDATES
from rstar_searcher.bench.processes import infrastructure, simulated_servers

TIERS = ("searcher", "policy", "ppm", "sandbox")
REPLICAS = (1, 2, 4)
TREES = 8
"""Of one replica at once: few, so that two cores hold several replicas."""

PROBLEMS = 96
"""That each replica brings."""

ROLLOUTS = 1
SCALE = 2.0
SET = "h100"
GOAL_RATIO_A_REPLICA = 0.9
GOAL_CPU_GROWTH = 1.1
SUBMISSION_PROBLEMS = 500
LIMIT_SECONDS = 600.0
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of replicas."""

    replicas: int
    problems: int
    problems_per_second: float
    searcher_cpu_ms_a_problem: float
    services_cpu_ms_a_problem: float
    cores_used: float
    engine_busy: float
    searcher_mb: float

    def report(self) -> dict[str, object]:
        """For the JSON line."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


async def measure_replicas(
    counts: Sequence[int], *, problems: int, trees: int, scale: float
) -> dict[str, object]:
    """Throughput against replicas; see the module."""
    rows = [await _row(count, problems=problems, trees=trees, scale=scale) for count in counts]
    one = rows[0]
    cores = machine()["cores"]
    ratios = {row.replicas: row.problems_per_second / one.problems_per_second for row in rows}
    growth = {
        row.replicas: row.searcher_cpu_ms_a_problem / one.searcher_cpu_ms_a_problem for row in rows
    }
    return {
        "trees_a_replica": trees,
        "time_scale": scale,
        "parameters": SET,
        "rows": [row.report() for row in rows],
        "throughput_ratio": {count: round(ratio, 2) for count, ratio in ratios.items()},
        "cpu_a_problem_ratio": {count: round(ratio, 2) for count, ratio in growth.items()},
        "core_limit": cores,
        "limit": _limit(rows[-1], cores=int(str(cores))),
        "goal_met": all(
            ratio >= GOAL_RATIO_A_REPLICA * count / one.replicas for count, ratio in ratios.items()
        )
        and max(growth.values()) <= GOAL_CPU_GROWTH,
    }


def _limit(row: Row, *, cores: int) -> str:
    shares = {
        "the cap on trees a replica": 0.8,  # what is left if neither of the others is near
        "cores of this machine": row.cores_used / cores,
        "the simulated engine": row.engine_busy,
    }
    return max(shares, key=lambda name: shares[name])


async def _row(replicas: int, *, problems: int, trees: int, scale: float) -> Row:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory))
        address, server = await stack.enter_async_context(
            simulated_servers(directory, parameters=SET, scale=scale)
        )
        environment = searcher_settings(address, settings)
        environment["MAX_BATCH_SEARCHES"] = str(trees)
        pids = [
            (await stack.enter_async_context(service("searcher", directory, environment)))[1]
            for _ in range(replicas)
        ]
        nats = NatsSettings(servers=json.loads(settings["NATS__SERVERS"]))
        bus = await stack.enter_async_context(connected(nats, name="bench"))
        before = sum(map(cpu_seconds, pids))
        server_before = cpu_seconds(server.pid)
        began = time.perf_counter()
        total = replicas * problems
        await publish_copies(bus.jetstream(), replicas, problems)
        await until_results(bus.jetstream(), total)
        took = time.perf_counter() - began
        searcher_cpu = sum(map(cpu_seconds, pids)) - before
        server_cpu = cpu_seconds(server.pid) - server_before
        rate = await middle_rate(bus.jetstream(), total)
        resident = memory_bytes(pids) / replicas
        server.terminate()
        assert server.stdout is not None
        seen = json.loads(await server.stdout.readline())
    return Row(
        replicas=replicas,
        problems=total,
        problems_per_second=round(rate, 2),
        searcher_cpu_ms_a_problem=round(1000 * searcher_cpu / total, 1),
        services_cpu_ms_a_problem=round(1000 * server_cpu / total, 1),
        cores_used=round((searcher_cpu + server_cpu) / took, 2),
        engine_busy=seen["engine_busy"],
        searcher_mb=round(resident / 1e6, 1),
    )


async def publish_copies(jetstream: JetStreamContext, replicas: int, problems: int) -> None:
    """The same questions once a replica, mixed, so that each stretch holds the same work."""
    for first in range(0, problems, SUBMISSION_PROBLEMS):
        submission = submission_of(f"scale-{first}")
        for pid in range(first, min(problems, first + SUBMISSION_PROBLEMS)):
            for copy in range(replicas):
                submission.problems.add(
                    problem_id=f"p{pid}-{copy}", question=texts.question_of(pid)
                )
        await submit(jetstream, submission)


def submission_of(batch_id: str) -> events_pb2.BatchSubmission:
    """An empty batch with this benchmark's settings."""
    submission = events_pb2.BatchSubmission(batch_id=batch_id)
    settings = submission.settings
    settings.rollouts, settings.candidates, settings.parallel_rollouts = ROLLOUTS, CANDIDATES, 1
    settings.max_trajectory_tokens, settings.seed = 65_536, 7
    return submission


async def submit(jetstream: JetStreamContext, submission: events_pb2.BatchSubmission) -> None:
    """Publish a batch."""
    await publish_once(
        jetstream,
        streams.BATCH_SUBMIT,
        submission.SerializeToString(),
        headers={"Content-Type": "application/protobuf"},
    )


async def until_results(jetstream: JetStreamContext, total: int) -> None:
    """Wait until so many results are stored."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if (await jetstream.stream_info(streams.RESULTS)).state.messages >= total:
                return
            # Asking for the count costs a millisecond; following the stream would cost each result.
            await asyncio.sleep(POLL_SECONDS)


async def middle_rate(jetstream: JetStreamContext, total: int) -> float:
    """Results a second, by the times at which the stream stored them."""
    first, last = total // 10 + 1, total - total // 10
    times = []
    for sequence in (first, last):
        message = await jetstream.get_msg(streams.RESULTS, sequence)
        assert message.time is not None
        times.append(message.time.timestamp())
    return (last - first) / (times[1] - times[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_searcher.bench.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", choices=["replicas", "queue"], action="append")
    parser.add_argument(
        "--tier", choices=TIERS, action="append", help="of --part replicas; repeatable; all"
    )
    parser.add_argument("--replicas", default=",".join(map(str, REPLICAS)), help="e.g. 1,2,4,8")
    parser.add_argument("--trees", type=int, default=TREES, help="of a replica, at once")
    parser.add_argument("--problems", type=int, default=PROBLEMS, help="that a replica brings")
    parser.add_argument("--scale", type=float, default=SCALE, help="simulated seconds a second")
    parser.add_argument("--queued", default="1000,100000", help="depths of the queue")
    options = parser.parse_args(arguments)
    report: dict[str, object] = {"benchmark": "scale", "machine": machine()}
    parts = options.part or ["replicas", "queue"]
    counts = [int(count) for count in options.replicas.split(",")]
    tiers = options.tier or TIERS
    if "replicas" in parts and "searcher" in tiers:
        report["replicas"] = asyncio.run(
            measure_replicas(
                counts,
                problems=options.problems,
                trees=options.trees,
                scale=options.scale,
            )
        )
    if "replicas" in parts:
        from rstar_searcher.bench.scale_tiers import measure_tier

        report["tiers"] = {
            tier: asyncio.run(
                measure_tier(tier, counts, problems=options.problems, scale=options.scale)
            )
            for tier in tiers
            if tier != "searcher"
        }
    if "queue" in parts:
        from rstar_searcher.bench.scale_queue import measure_queue

        report["queue"] = asyncio.run(
            measure_queue([int(depth) for depth in options.queued.split(",")])
        )
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
