"""Time against right answers as hopeless siblings are ended early; in virtual time.

Three ways to expand a node, each with 1, 2, 4 and 8 rollouts of a tree at once: eight
candidates of which all are waited for; eight of which six are enough; and, as a control,
six of which all are waited for, since fewer children alone make a search cheaper too. The
world's lengths say nothing about what is right, so what a long step may be worth to a real
model is not in these figures.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rstar_searcher.bench.curve import Curve, svg
from rstar_searcher.bench.driven import Driven, comparison_settings, run_driver
from rstar_searcher.bench.parameters import CANDIDATES, Parameters
from rstar_searcher.bench.virtual_time import run_in_virtual_time

PARALLEL = (1, 2, 4, 8)
ENOUGH = 6
TARGET_SHARE = 0.9
"""Of the right answers that one rollout at a time finds, waiting for all: what is timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a node is expanded."""

    name: str
    candidates: int
    enough: int = 0


WAYS = (
    Way(name=f"all of {CANDIDATES}", candidates=CANDIDATES),
    Way(name=f"{ENOUGH} of {CANDIDATES}", candidates=CANDIDATES, enough=ENOUGH),
    Way(name=f"all of {ENOUGH}", candidates=ENOUGH),
)


def measure_early(
    parameters: Parameters, *, problems: int, rollouts: int, curve: Path | None = None
) -> dict[str, object]:
    """One row a way and number of rollouts at once; `curve` gets the figure."""
    runs = {
        (way, parallel): run_in_virtual_time(
            run_driver(
                parameters,
                replace(
                    comparison_settings(rollouts=rollouts, parallel=parallel, enough=way.enough),
                    candidates=way.candidates,
                ),
                pids=range(problems),
            )
        )
        for way in WAYS
        for parallel in PARALLEL
    }
    first = runs[WAYS[0], 1]
    target = int(TARGET_SHARE * len(first.right_at))
    if curve:
        curve.write_text(svg(_title(parameters, problems, rollouts), _curves(runs)))
    return {
        "problems": problems,
        "rollouts": rollouts,
        "virtual_time": True,
        "target_right_answers": target,
        "rows": [
            {
                "candidates": way.name,
                "parallel_rollouts": parallel,
                "seconds_to_target": _seconds_to(target, run.right_at),
                "times_as_fast": _ratio(target, first.right_at, run.right_at),
                "seconds": round(run.schedule.seconds, 1),
                "right_answers": run.schedule.right,
                "answers": run.schedule.answers,
                "solved": run.solved,
                "tokens": run.schedule.tokens,
                "engine_busy": round(run.schedule.busy, 3),
            }
            for (way, parallel), run in runs.items()
        ],
    }


def _seconds_to(target: int, right_at: Sequence[float]) -> float | None:
    return round(right_at[target - 1], 1) if len(right_at) >= target else None


def _ratio(target: int, first: Sequence[float], other: Sequence[float]) -> float | None:
    if len(other) < target:
        return None
    return round(first[target - 1] / other[target - 1], 2)


def _title(parameters: Parameters, problems: int, rollouts: int) -> str:
    return f"Right answers found, {parameters.name} set, {problems} problems, {rollouts} rollouts"


def _curves(runs: dict[tuple[Way, int], Driven]) -> list[Curve]:
    """The control is in the table only: lines beyond eight cannot be told apart."""
    return [
        Curve(
            name=f"{parallel} at once, {way.name}",
            dashed=bool(way.enough),
            colour=PARALLEL.index(parallel),
            points=_steps(run.right_at),
        )
        for (way, parallel), run in runs.items()
        if way in WAYS[:2]
    ]


def _steps(right_at: Sequence[float]) -> list[tuple[float, float]]:
    """Fifty points are as good as every step."""
    end = right_at[-1] if right_at else 0.0
    times = [end * i / 50 for i in range(51)]
    return [(at, float(bisect_right(right_at, at))) for at in times]
