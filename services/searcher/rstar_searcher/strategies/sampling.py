"""Independent trajectories: best-of-N, majority vote and greedy decoding.

The tree only shares work: a node that m samples agree on is expanded with m candidates,
which has the distribution of m independent trajectories, since equal texts were merged.
"""

from __future__ import annotations

from collections.abc import Sequence

from rstar_searcher.model import Dropped, Expanded
from rstar_searcher.settings import SearchSettings
from rstar_searcher.strategies.protocol import Ask, Backup
from rstar_searcher.tree import NodeId, Terminal, Tree
from rstar_searcher.values import finish_trajectory, limit_reached


class Sampling:
    """See the module."""

    def __init__(
        self, settings: SearchSettings, tree: Tree, root: NodeId, backups: list[Backup]
    ) -> None:
        """Search the tree that begins at `root`; `backups` may be shared with other trees."""
        self._settings = settings
        self.tree = tree
        self.backups = backups
        self._ready: dict[NodeId, int] = {root: settings.rollouts}
        self._asked: dict[NodeId, int] = {}
        self._right = 0

    @property
    def asked(self) -> list[NodeId]:
        return list(self._asked)

    @property
    def exhausted(self) -> bool:
        return False  # as many trajectories as asked for can always be made

    @property
    def right(self) -> int:
        return self._right

    @property
    def planned(self) -> int:
        return self._settings.rollouts

    @property
    def solved(self) -> bool:
        wanted = self._settings.stop_after_right
        return bool(wanted) and self._right >= wanted

    def ask(self) -> list[Ask]:
        if self.solved:
            return []
        count = len(self._ready)
        if self._settings.stop_after_right:
            # What is asked beyond the first right answers is wasted: a few at a time, then.
            count = max(0, self._settings.parallel_rollouts - len(self._asked))
        ready = dict(list(self._ready.items())[:count])
        for node in ready:
            del self._ready[node]
        self._asked |= ready
        return [Ask(node=node, num_candidates=samples) for node, samples in ready.items()]

    def tell(self, node: NodeId, children: Sequence[Expanded], dropped: Sequence[Dropped]) -> None:
        if self._asked.pop(node, None) is None:  # told before
            return
        ids = list(self.tree.expand(node, children, dropped))
        if not children:
            self.tree[node].terminal = Terminal.NO_VALID_CANDIDATE
            self._finish(node)
        for child, step in zip(ids, children, strict=True):
            if self.tree[child].terminal is None and limit_reached(
                self.tree, child, self._settings
            ):
                self.tree[child].terminal = Terminal.LIMIT
            if self.tree[child].terminal is None:
                self._ready[child] = step.multiplicity
            else:
                self._finish(child)

    def extend(self, rollouts: int) -> None:
        raise AssertionError("the settings refuse more trajectories: a node is asked for once")

    def _finish(self, leaf: NodeId) -> None:
        value = finish_trajectory(self.tree, leaf, self._settings.mode)
        if value == 1.0 and self._settings.mode.uses_reference:
            self._right += 1
        self.backups.append(Backup(leaf=leaf, value=value))
