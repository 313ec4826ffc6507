"""Shares with their uncertainty, and what k tries would have solved. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """An estimate with its 95 % interval: of a share, or of the difference of two."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Rounded for a report."""
        return {
            "value": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


def wilson(successes: int, trials: int) -> Share:
    """Wilson's score interval of a proportion (Wilson, 1927). Nothing is known of no trials."""
    if not trials:
        return Share(value=0.0, low=0.0, high=1.0)
    p, z2 = successes / trials, Z95 * Z95
    middle = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    # At the ends the bound is exact; rounding must not leave [0, 1].
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Share(value=p, low=low, high=high)


def pass_at_k(tries: int, right: int, k: int) -> float:
    """Chance that k of `tries` draws without replacement hold a right one.

    1 - C(n-c, k) / C(n, k) (Chen et al., 2021, equation 1), unbiased for independent tries.
    With fewer than k tries it is whether any was right.
    """
    if not right:
        return 0.0
    if tries - right < k:
        return 1.0
    return 1.0 - math.prod((tries - right - i) / (tries - i) for i in range(k))


def mean(values: Sequence[float]) -> Share:
    """Mean over problems with a normal interval, cut to [0, 1]."""
    count = len(values)
    if not count:
        return Share(value=0.0, low=0.0, high=1.0)
    centre = sum(values) / count
    spread = sum((value - centre) ** 2 for value in values) / max(1, count - 1)
    half = Z95 * math.sqrt(spread / count)
    return Share(value=centre, low=max(0.0, centre - half), high=min(1.0, centre + half))


def paired_difference(one: Sequence[bool], other: Sequence[bool]) -> Share:
    """How much more often `one` holds than `other`, on the same problems; in [-1, 1].

    Wald's interval of a paired difference with Bonett and Price's (2012) adjustment: one
    problem is added to each kind of disagreement, so that a few problems without any are not
    taken for certainty.
    """
    count = len(one)
    if not count:
        return Share(value=0.0, low=-1.0, high=1.0)
    gained = sum(a and not b for a, b in zip(one, other, strict=True))
    lost = sum(b and not a for a, b in zip(one, other, strict=True))
    p, q = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    half = Z95 * math.sqrt((p + q - (p - q) ** 2) / (count + 2))
    return Share(
        value=(gained - lost) / count, low=max(-1.0, p - q - half), high=min(1.0, p - q + half)
    )
