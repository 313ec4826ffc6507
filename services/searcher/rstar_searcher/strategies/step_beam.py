"""Step-level beam search ranked by the PPM (the authors' faster alternative).

At every depth each prefix of the beam gets candidates; the best prefixes by PPM score
among all of them make the next beam. `rollouts` is the width of the beam.
"""

from __future__ import annotations

from collections.abc import Sequence

from rstar_searcher.model import Dropped, Expanded
from rstar_searcher.settings import SearchSettings
from rstar_searcher.strategies.protocol import Ask, Backup
from rstar_searcher.tree import NodeId, Terminal, Tree
from rstar_searcher.values import finish_trajectory, limit_reached


class StepBeam:
    """See the module."""

    solved = False
    exhausted = False  # a beam that runs empty has ended as it should

    def __init__(
        self, settings: SearchSettings, tree: Tree, root: NodeId, backups: list[Backup]
    ) -> None:
        """Search the tree that begins at `root`; `backups` may be shared with other trees."""
        self._settings = settings
        self.tree = tree
        self.backups = backups
        self._right = 0
        self._beam: list[NodeId] = [root]
        self._asked: dict[NodeId, None] = {}
        self._next: list[NodeId] = []

    @property
    def asked(self) -> list[NodeId]:
        return list(self._asked)

    @property
    def right(self) -> int:
        return self._right

    @property
    def planned(self) -> int:
        return self._settings.rollouts

    def ask(self) -> list[Ask]:
        beam, self._beam = self._beam, []
        self._asked |= dict.fromkeys(beam)
        return [Ask(node=node, num_candidates=self._settings.candidates) for node in beam]

    def tell(self, node: NodeId, children: Sequence[Expanded], dropped: Sequence[Dropped]) -> None:
        if node not in self._asked:  # told before
            return
        del self._asked[node]
        for child in list(self.tree.expand(node, children, dropped)):
            if self.tree[child].terminal is None and limit_reached(
                self.tree, child, self._settings
            ):
                self.tree[child].terminal = Terminal.LIMIT
            if self.tree[child].terminal is None:
                self._next.append(child)
            else:
                self._finish(child)
        if not children:
            self.tree[node].terminal = Terminal.NO_VALID_CANDIDATE
            self._finish(node)
        if not self._asked:
            self._beam = sorted(self._next, key=self._rank, reverse=True)[: self._settings.rollouts]
            self._next = []

    def extend(self, rollouts: int) -> None:
        raise AssertionError("the settings refuse a wider beam half-way")

    def _rank(self, node_id: NodeId) -> tuple[float, str]:
        # The key makes the order of equals independent of the order of arrival.
        step = self.tree[node_id].step
        score = step.ppm_score if step is not None and step.ppm_score is not None else 0.0
        return (score, self.tree[node_id].key)

    def _finish(self, leaf: NodeId) -> None:
        value = finish_trajectory(self.tree, leaf, self._settings.mode)
        if value == 1.0 and self._settings.mode.uses_reference:
            self._right += 1
        self.backups.append(Backup(leaf=leaf, value=value))
