"""Whether rollouts at once cost right answers: the solved share at the same number of rollouts.

In virtual time on the simulated world: every problem is searched with p = 1, 2, 4 and 8
rollouts at once, the same problems for each, so the differences are paired. A problem is
solved if a rollout ended in a right answer. The PPM of this world knows nothing, its scores
are noise, so only ended rollouts guide a tree, and those under way are what p rollouts at
once do not know yet.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from rstar_searcher.bench.driven import comparison_settings, search_all
from rstar_searcher.bench.parameters import Parameters
from rstar_searcher.bench.virtual_time import run_in_virtual_time

PARALLEL = (1, 2, 4, 8)
SAMPLES = 2_000
"""Of the bootstrap."""


def measure_solved(parameters: Parameters, *, problems: int, rollouts: int) -> dict[str, object]:
    """One row for each p, and its paired difference to p = 1 with a 95 % interval."""
    rows: list[dict[str, object]] = []
    base: Sequence[bool] = ()
    for parallel in PARALLEL:
        settings = comparison_settings(rollouts=rollouts, parallel=parallel)
        strategies = run_in_virtual_time(search_all(parameters, settings, range(problems)))
        right = [sum(b.value == 1.0 for b in strategy.backups) for strategy in strategies]
        solved = [count > 0 for count in right]
        base = base or solved
        low, high = wilson(sum(solved), problems)
        difference, least, most = paired(base, solved)
        rows.append(
            {
                "parallel_rollouts": parallel,
                "solved": round(sum(solved) / problems, 4),
                "interval": [round(low, 4), round(high, 4)],
                "right_rollouts": round(sum(right) / (problems * rollouts), 4),
                "difference_to_one": round(difference, 4),
                "difference_interval": [round(least, 4), round(most, 4)],
            }
        )
    return {"problems": problems, "rollouts": rollouts, "virtual_time": True, "rows": rows}


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, squared = successes / trials, z * z
    middle = share + squared / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + squared / (4 * trials * trials))
    return (middle - half) / (1 + squared / trials), (middle + half) / (1 + squared / trials)


def paired(one: Sequence[bool], many: Sequence[bool]) -> tuple[float, float, float]:
    """Mean difference of problems searched both ways, and its bootstrapped 95 % interval."""
    differences = [int(b) - int(a) for a, b in zip(one, many, strict=True)]
    rng = random.Random(0)
    means = sorted(
        sum(rng.choices(differences, k=len(differences))) / len(differences) for _ in range(SAMPLES)
    )
    mean = sum(differences) / len(differences)
    return mean, means[int(0.025 * SAMPLES)], means[int(0.975 * SAMPLES) - 1]
