"""Whose turn it is: weighted shares of a searcher's places. Pure, no clock, no I/O.

The tenant with the fewest places for its weight is next; among equals the one that had the
fewest turns for its weight. Who was away gathers no credit. So places are shared by weight while
there are more places than tenants, and turns by weight while there are fewer.
"""

from __future__ import annotations

from collections.abc import Mapping


class Turns:
    """Counts places and turns of each tenant on one searcher."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._places = dict.fromkeys(weights, 0)
        self._turns = dict.fromkeys(weights, 0.0)
        self._now = 0.0
        """Turns for its weight of whoever came last: where those begin who were away."""

    def order(self) -> list[str]:
        """Every tenant, first whose turn it is."""
        return sorted(
            self._weights,
            key=lambda name: (
                self._places[name] / self._weights[name],
                max(self._turns[name], self._now),
                self._turns[name],
            ),
        )

    def taken(self, name: str) -> None:
        """A tenant has taken a place."""
        self._places[name] += 1
        self._now = max(self._turns[name], self._now)
        self._turns[name] = self._now + 1 / self._weights[name]

    def ended(self, name: str) -> None:
        """It has left one."""
        self._places[name] -= 1
