"""Monte Carlo tree search as in rStar-Math section 3.2.

One rollout is one descent: every unexpanded node met on the way is expanded, and the
descent goes on until a terminal node, whose value is backed up along the path. Several
rollouts may be under way: each marks the nodes it passes (virtual loss), and one that
meets a node being expanded waits for it, so no leaf is expanded twice. With one rollout
at a time this is the sequential algorithm.

    right answer             +1 backed up
    wrong answer             -1 backed up
    judge undecided          nothing backed up; the node is terminal
    no reference             the PPM's score backed up
    no valid candidate       -1 backed up once; the node is closed
    depth or length limit    -1 backed up; the node is closed

A terminal node is visited once: a second visit could teach nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from rstar_searcher.model import Dropped, Expanded
from rstar_searcher.settings import SearchSettings
from rstar_searcher.strategies.protocol import Ask, Backup
from rstar_searcher.tree import NodeId, Terminal, Tree
from rstar_searcher.values import limit_reached, terminal_value


class Mcts:
    """See the module."""

    def __init__(
        self, settings: SearchSettings, tree: Tree, root: NodeId, backups: list[Backup]
    ) -> None:
        """Search the tree that begins at `root`; `backups` may be shared with other trees."""
        self._settings = settings
        self.tree = tree
        self.backups = backups
        self._root = root
        self._waiting: dict[NodeId, list[list[NodeId]]] = {}
        """Paths of the rollouts that wait for a node's expansion."""

        self._unasked: list[NodeId] = []
        """Nodes waited for and not yet returned by `ask`."""

        self._wanted = settings.rollouts
        self._started = 0
        self._ended = 0
        self._right = 0

    @property
    def asked(self) -> list[NodeId]:
        return list(self._waiting)

    @property
    def exhausted(self) -> bool:
        return self.tree[self._root].closed

    @property
    def right(self) -> int:
        return self._right

    @property
    def planned(self) -> int:
        return self._wanted

    @property
    def solved(self) -> bool:
        wanted = self._settings.stop_after_right
        return bool(wanted) and self._right >= wanted

    def ask(self) -> list[Ask]:
        while self._may_start():
            self._started += 1
            self.tree.mark(self._root)
            self._descend([self._root])
        unasked, self._unasked = self._unasked, []
        return [Ask(node=node, num_candidates=self._settings.candidates) for node in unasked]

    def tell(self, node: NodeId, children: Sequence[Expanded], dropped: Sequence[Dropped]) -> None:
        paths = self._waiting.pop(node, None)
        if paths is None:  # told before
            return
        self.tree.expand(node, children, dropped)
        if not children:
            self.tree[node].terminal = Terminal.NO_VALID_CANDIDATE
        for path in paths:
            self._descend(path)

    def extend(self, rollouts: int) -> None:
        self._wanted += rollouts

    def _may_start(self) -> bool:
        active = self._started - self._ended
        return (
            active < self._settings.parallel_rollouts
            and self._started < self._wanted
            and not self.exhausted
            and not self.solved
        )

    def _descend(self, path: list[NodeId]) -> None:
        """Go down from the end of `path` until a terminal node, or one to wait for."""
        while True:
            node_id = path[-1]
            node = self.tree[node_id]
            if node.terminal is None and not node.expanded:
                if not limit_reached(self.tree, node_id, self._settings):
                    if node_id not in self._waiting:
                        self._waiting[node_id] = []
                        self._unasked.append(node_id)
                    self._waiting[node_id].append(path)
                    return
                node.terminal = Terminal.LIMIT
            if node.closed:
                # Another rollout closed it while this one waited: begin again from the root.
                self.tree.release(path)
                self._started -= 1
                return
            if node.terminal is not None:
                self._finish(path)
                return
            child = self.tree.select_child(
                node_id,
                exploration=self._settings.exploration,
                rule=self._settings.unvisited_rule,
            )
            assert child is not None, "an open node has an open child"
            self.tree.mark(child)
            path.append(child)

    def _finish(self, path: list[NodeId]) -> None:
        leaf = path[-1]
        value = terminal_value(self.tree[leaf], self._settings.mode)
        if value is None:
            self.tree.release(path)
        else:
            self.tree.backup(path, value)
        self.tree.close(leaf)
        if value == 1.0 and self._settings.mode.uses_reference:
            self._right += 1
        self._ended += 1
        self.backups.append(Backup(leaf=leaf, value=value))
