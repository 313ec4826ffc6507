"""(b) Wall-clock time on the simulated engine, ours beside three schedules of the same work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from rstar_searcher.bench.driven import Driven, comparison_settings, run_driver
from rstar_searcher.bench.machine import resident_bytes
from rstar_searcher.bench.parameters import PROBLEMS, ROLLOUTS, Parameters
from rstar_searcher.bench.schedules import Schedule, ideal, lock_step
from rstar_searcher.bench.virtual_time import run_in_virtual_time

GOAL = 1.05
"""Of the ideal schedule's time."""


def measure_schedule(
    parameters: Parameters, *, problems: int, rollouts: int, scale: float
) -> dict[str, object]:
    """One parameter set: ideal and lock-step computed, our driver with real waiting.

    Simulated time passes `scale` times faster than the clock; our own overhead does not
    shrink with it, so `scale` above 1 makes our figure worse than it is, never better.
    """
    best = run_in_virtual_time(ideal(parameters, problems=problems, rollouts=rollouts))
    barrier = run_in_virtual_time(
        lock_step(parameters, problems=problems, rollouts=rollouts, reexecute=False)
    )
    public = run_in_virtual_time(
        lock_step(parameters, problems=problems, rollouts=rollouts, reexecute=True)
    )
    settings = comparison_settings(rollouts=rollouts)
    before, cpu = resident_bytes(), time.process_time()
    # The ordinary loop: uvloop rounds timers to milliseconds, which `scale` would multiply.
    ours = asyncio.run(
        run_driver(parameters, settings, pids=range(problems), scale=scale, provenance=True)
    )
    cpu_seconds = time.process_time() - cpu
    whole = problems == PROBLEMS and rollouts == ROLLOUTS
    return {
        "time_scale": scale,
        "ideal_seconds": round(best.seconds, 1),
        "driver_seconds": round(ours.schedule.seconds, 1),
        "lock_step_seconds": round(barrier.seconds, 1),
        "lock_step_reexecuting_seconds": round(public.seconds, 1),
        "driver_to_ideal": round(ours.schedule.seconds / best.seconds, 4),
        "goal_met": ours.schedule.seconds <= GOAL * best.seconds,
        "lock_step_to_driver": round(barrier.seconds / ours.schedule.seconds, 2),
        "lock_step_reexecuting_to_driver": round(public.seconds / ours.schedule.seconds, 2),
        "engine_busy": {
            "ideal": round(best.busy, 3),
            "driver": round(ours.schedule.busy, 3),
            "lock_step": round(barrier.busy, 3),
            "lock_step_reexecuting": round(public.busy, 3),
        },
        "driver_cpu_seconds": round(cpu_seconds, 1),
        "driver_resident_mb": round(ours.resident_bytes / 1e6),
        "driver_grew_mb": round((ours.resident_bytes - before) / 1e6),
        "nodes": ours.nodes,
        **_work(best, [ours.schedule, barrier, public], parameters.digest if whole else ""),
    }


def _work(first: Schedule, others: Sequence[Schedule], known_digest: str) -> dict[str, object]:
    same = all(other.digest == first.digest for other in others)
    return {
        "expansions": first.expansions,
        "sequences": first.sequences,
        "tokens": first.tokens,
        "answers": first.answers,
        "right_answers": first.right,
        "digest": first.digest,
        "same_work": same and known_digest in ("", first.digest),
    }


def measure_parallel(
    parameters: Parameters, *, problems: int, rollouts: int
) -> list[dict[str, object]]:
    """Time against right answers as rollouts of one tree run at once; in virtual time.

    Few problems leave the engine idle while a tree waits for itself; parallel rollouts
    fill it. `stop` ends a search at its first right answer.
    """
    rows: list[dict[str, object]] = []
    for stop in (0, 1):
        for parallel in (1, 2, 4, 8, 16):
            settings = comparison_settings(
                rollouts=rollouts, parallel=parallel, stop_after_right=stop
            )
            run: Driven = run_in_virtual_time(
                run_driver(parameters, settings, pids=range(problems))
            )
            rows.append(
                {
                    "parallel_rollouts": parallel,
                    "stop_after_right": stop,
                    "seconds": round(run.schedule.seconds, 1),
                    "engine_busy": round(run.schedule.busy, 3),
                    "tokens": run.schedule.tokens,
                    "rollouts_ended": run.schedule.answers,
                    "right_answers": run.schedule.right,
                    "solved": run.solved,
                }
            )
    return rows
