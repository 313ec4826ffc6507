"""1,000 trees at once in one process: how fast the searcher reacts to a reply."""

from __future__ import annotations

import asyncio
import gc
import time

from rstar_searcher.bench.driven import comparison_settings, run_driver
from rstar_searcher.bench.machine import resident_bytes
from rstar_searcher.bench.parameters import Parameters
from rstar_searcher.bench.services import Stopwatch
from rstar_searcher.garbage import spare_the_old

TREES = 1_000
GOAL_P99_SECONDS = 0.050
START_INTERVAL_SECONDS = 0.005
"""Between two searches' starts: callers come one after another, though fast."""


def measure_many(
    parameters: Parameters, *, trees: int, rollouts: int, scale: float = 1.0
) -> dict[str, object]:
    """Delays from the time a reply was due to the next request of its search.

    The simulated services share the process and so its time: the figure is an upper bound.
    """
    thresholds = gc.get_threshold()
    spare_the_old()  # as the service does
    stopwatch = Stopwatch()
    before, cpu, started = resident_bytes(), time.process_time(), time.perf_counter()
    run = asyncio.run(
        run_driver(
            parameters,
            comparison_settings(rollouts=rollouts),
            pids=range(trees),
            scale=scale,
            start_interval_seconds=START_INTERVAL_SECONDS,
            provenance=True,
            stopwatch=stopwatch,
        )
    )
    seconds = time.perf_counter() - started
    gc.set_threshold(*thresholds)
    delays = sorted(stopwatch.delays)
    p99 = delays[int(0.99 * len(delays))]
    return {
        "trees": trees,
        "rollouts": rollouts,
        "time_scale": scale,
        "starts_per_second": round(1 / START_INTERVAL_SECONDS),
        "seconds": round(seconds, 1),
        "expansions": run.schedule.expansions,
        "expansions_per_second": round(run.schedule.expansions / seconds, 1),
        "engine_busy": round(run.schedule.busy, 3),
        "reactions": len(delays),
        "p50_ms": round(1000 * delays[len(delays) // 2], 2),
        "p99_ms": round(1000 * p99, 2),
        "max_ms": round(1000 * delays[-1], 1),
        "goal_met": p99 <= GOAL_P99_SECONDS,
        "cpu_share": round((time.process_time() - cpu) / seconds, 3),
        "nodes": run.nodes,
        "grew_mb": round((run.resident_bytes - before) / 1e6),
    }
