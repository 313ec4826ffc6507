"""What every strategy is: *ask* for expansions, *tell* their results, in any order.

A strategy is a pure, synchronous function of its settings and of what it was told. That
is what makes a search resumable: replay the tells and go on. It owns its tree.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    def solved(self) -> bool:
        """Whether as many right answers as asked for were found (data generation)."""

    @property
    def exhausted(self) -> bool:
        """Nothing is left to expand."""
