"""What every strategy is: *ask* for expansions, *tell* their results, in any order.

A strategy is a pure, synchronous function of its settings and of what it was told. That
is what makes a search resumable: replay the tells and go on. Several strategies may share
the node store of one `Tree`, each with a root of its own (`Forest`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rstar_searcher.model import Dropped, Expanded
from rstar_searcher.tree import NodeId, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Please expand this node; at most one ask a node, ever."""

    node: NodeId
    num_candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The result of an expansion: all that a search ever learns."""

    node: NodeId
    children: Sequence[Expanded]
    dropped: Sequence[Dropped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A rollout (or trajectory) ended at `leaf`."""

    leaf: NodeId
    value: float | None
    """None when nothing was backed up: the judge was undecided."""


class Strategy(Protocol):
    """One way of searching."""

    tree: Tree

    backups: list[Backup]
    """Every rollout that ended, in order; only ever appended to."""

    def ask(self) -> list[Ask]:
        """Expansions that may start now. Each is returned once."""

    def tell(self, node: NodeId, children: Sequence[Expanded], dropped: Sequence[Dropped]) -> None:
        """Take the result of an expansion; telling it again changes nothing."""

    @property
    def asked(self) -> list[NodeId]:
        """Nodes asked for and not told yet, in the order of asking."""

    @property
    def right(self) -> int:
        """Rollouts that ended in a right answer (data generation)."""

    @property
    def planned(self) -> int:
        """Rollouts, trajectories or beams that are to be made, as far as is known by now."""

    @property
    def solved(self) -> bool:
        """Whether as many right answers as asked for were found (data generation)."""

    @property
    def exhausted(self) -> bool:
        """Nothing is left to expand, although more was to be done."""

    def extend(self, rollouts: int) -> None:
        """Do so many rollouts more."""


def replay(strategy: Strategy, history: Iterable[Told]) -> list[Ask]:
    """Bring a fresh strategy to where the one that was told `history` had come.

    Returns what is asked and was not told: the expansions that were under way.
    """
    asks = {ask.node: ask for ask in strategy.ask()}
    for told in history:
        strategy.tell(told.node, told.children, told.dropped)
        asks.pop(told.node, None)
        asks |= {ask.node: ask for ask in strategy.ask()}
    return list(asks.values())
