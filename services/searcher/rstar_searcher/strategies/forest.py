"""Several trees as one search, and more rollouts for what was not solved.

Each tree is searched by a strategy of its own; they share nothing but the node store and
the list of backups, so an id means the same everywhere. The answer is selected among the
trajectories of all: the paper's "64 trajectories" are 64 trees whose votes are joined.

The adaptive rule of data generation (rStar-Math section 3.4): when every rollout has ended
and none was right, every tree does so many more, then the next number, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rstar_searcher.model import Dropped, Expanded
from rstar_searcher.settings import SearchSettings
from rstar_searcher.strategies.protocol import Ask, Backup, Strategy
from rstar_searcher.tree import NodeId, Tree

MakeMember = Callable[[SearchSettings, Tree, NodeId, list[Backup]], Strategy]


class Forest:
    """See the module."""

    def __init__(self, settings: SearchSettings, make: MakeMember, *, ppm_prior: bool) -> None:
        self._settings = settings
        self.tree = Tree(roots=settings.trees, ppm_prior=ppm_prior)
        self.backups: list[Backup] = []
        self._extra = list(settings.extra_rollouts)
        # Roots come first, so a tree's strategy is found by the id of its root.
        self._members = [
            make(settings, self.tree, root, self.backups) for root in list(self.tree.ids())
        ]

    @property
    def asked(self) -> list[NodeId]:
        return [node for member in self._members for node in member.asked]

    @property
    def right(self) -> int:
        return sum(member.right for member in self._members)

    @property
    def planned(self) -> int:
        return sum(member.planned for member in self._members)

    @property
    def solved(self) -> bool:
        wanted = self._settings.stop_after_right
        return bool(wanted) and self.right >= wanted

    @property
    def exhausted(self) -> bool:
        return all(member.exhausted for member in self._members)

    def ask(self) -> list[Ask]:
        if self.solved:
            return []
        while True:
            asks = [ask for member in self._members for ask in member.ask()]
            if asks or not self._extra or self.right or self.exhausted or self.asked:
                return asks
            self.extend(self._extra.pop(0))

    def tell(self, node: NodeId, children: Sequence[Expanded], dropped: Sequence[Dropped]) -> None:
        self._members[self.tree.root_of(node)].tell(node, children, dropped)

    def extend(self, rollouts: int) -> None:
        for member in self._members:
            member.extend(rollouts)
