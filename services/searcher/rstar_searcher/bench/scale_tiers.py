"""Replicas of policy, PPM and sandbox: throughput against their number, each tier by itself.

The tier under test is scarce: every replica is a process that simulates so little of it that it
limits the whole. The two others are one process that has room for all. Searchers and trees grow
with the replicas, so that all of these always have work. A search keeps to one replica; one that
was given fewer of them stands idle meanwhile, which is what the ratio loses first.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rstar_common.bus import connected
from rstar_common.config import NatsSettings
from rstar_common.processes import cpu_seconds, service
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.machine import machine
from rstar_searcher.bench.parameters import AMPLE, SCARCE
from rstar_searcher.bench.processes import infrastructure, simulated_servers
from rstar_searcher.bench.scale import middle_rate, publish_copies, until_results

TREES = 16
"""Of the searcher at once, for each replica of the tier under test."""

GOAL_RATIO_A_REPLICA = 0.85
"""With 16 trees a replica that are dealt out by chance, 16 / (16 + 1) of a replica's speed is what
remains when there are many of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of replicas of one tier."""

    replicas: int
    problems: int
    problems_per_second: float
    cores_used: float

    def report(self) -> dict[str, object]:
        """For the JSON line."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


async def measure_tier(
    tier: str, counts: Sequence[int], *, problems: int, scale: float
) -> dict[str, object]:
    """Throughput against replicas of one tier; see the module."""
    rows = [await _row(tier, count, problems=problems, scale=scale) for count in counts]
    one = rows[0]
    cores = int(str(machine()["cores"]))
    ratios = {row.replicas: row.problems_per_second / one.problems_per_second for row in rows}
    short = [row for row in rows if row.cores_used > 0.8 * cores]
    return {
        "trees_a_replica": TREES,
        "time_scale": scale,
        "parameters": SCARCE[tier].name,
        "rows": [row.report() for row in rows],
        "throughput_ratio": {count: round(ratio, 2) for count, ratio in ratios.items()},
        "core_limit": cores,
        "limit": "cores of this machine" if short else f"the replicas of {tier}",
        "goal_met": all(
            ratio >= GOAL_RATIO_A_REPLICA * count / one.replicas for count, ratio in ratios.items()
        ),
    }


async def _row(tier: str, replicas: int, *, problems: int, scale: float) -> Row:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        settings = await stack.enter_async_context(infrastructure(directory))
        servers = [
            await stack.enter_async_context(
                simulated_servers(directory, parameters=name, scale=scale)
            )
            for name in (AMPLE.name, *[SCARCE[tier].name] * replicas)
        ]
        (ample, _), *scarce = servers
        environment = searcher_settings(ample, settings)
        environment[f"{tier.upper()}_ADDRESS"] = ",".join(address for address, _ in scarce)
        environment["MAX_BATCH_SEARCHES"] = str(TREES * replicas)
        _, pid = await stack.enter_async_context(service("searcher", directory, environment))
        nats = NatsSettings(servers=json.loads(settings["NATS__SERVERS"]))
        bus = await stack.enter_async_context(connected(nats, name="bench"))
        pids = [pid, *(process.pid for _, process in servers)]
        before, began = sum(map(cpu_seconds, pids)), time.perf_counter()
        total = replicas * problems
        await publish_copies(bus.jetstream(), replicas, problems)
        await until_results(bus.jetstream(), total)
        took = time.perf_counter() - began
        return Row(
            replicas=replicas,
            problems=total,
            problems_per_second=round(await middle_rate(bus.jetstream(), total), 2),
            cores_used=round((sum(map(cpu_seconds, pids)) - before) / took, 2),
        )
