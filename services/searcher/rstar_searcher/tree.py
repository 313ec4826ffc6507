"""The search tree: data and arithmetic. No I/O, no clock, no randomness.

Every function here is synchronous, so under asyncio each one is atomic: read
and write the tree in one call and no other rollout can be in between. `driver`
owns every `await`.

Letters: Q is a mean value in [-1, 1], N a visit count, W a sum of values, and a path is
a list of node ids from a root down. Several independent trees of one search share the
node store: their roots come first, each its own parent.

Source: rStar-Math section 3.2; UCT: Kocsis and Szepesvari 2006; virtual loss: Chaslot et
al. 2008.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

from rstar_searcher.model import Dropped, Expanded
from rstar_searcher.settings import UnvisitedRule

NodeId = NewType("NodeId", int)

ROOT = NodeId(0)


class Terminal(Enum):
    """Why a node has no children and never will."""

    ANSWER = "answer"
    NO_VALID_CANDIDATE = "no_valid_candidate"
    LIMIT = "limit"


@dataclass(slots=True)
class Node:
    """One reasoning step and what the search believes about it."""

    parent: NodeId
    depth: int
    key: str
    """`r` for the first root and `rN` for the N-th after it, then `.j` for the j-th sample: names
    the node independently of time, and makes its seeds."""

    step: Expanded | None
    """None on a root only."""

    visits: int = 0
    """N. A node with a PPM score starts with one visit, which was not backed up."""

    value_sum: float = 0.0
    pending: int = 0
    """Rollouts now below this node: each counts as a visit of value -1 until it ends."""

    terminal: Terminal | None = None
    closed: bool = False
    """Nothing below it is worth another visit: a visited terminal, or all children closed."""

    expanded: bool = False
    children: list[NodeId] = field(default_factory=list[NodeId])

    @property
    def q(self) -> float:
        """W / N; 0 for a node nobody visited."""
        return self.value_sum / self.visits if self.visits else 0.0


class Tree:
    """Nodes are appended and never removed, so an id is valid for ever."""

    def __init__(self, *, roots: int = 1, ppm_prior: bool = False) -> None:
        """Begin with the roots.

        With `ppm_prior`, a child starts with N = 1 and W = its PPM score, not backed up.
        """
        self._ppm_prior = ppm_prior
        self._nodes = [
            Node(parent=NodeId(i), depth=0, key=f"r{i}" if i else "r", step=None)
            for i in range(roots)
        ]
        self.dropped: list[tuple[NodeId, Dropped]] = []

    def __getitem__(self, node_id: NodeId) -> Node:
        return self._nodes[node_id]

    def __len__(self) -> int:
        return len(self._nodes)

    def ids(self) -> Iterator[NodeId]:
        """Every node id, parents before children."""
        return (NodeId(i) for i in range(len(self._nodes)))

    def path_to(self, node_id: NodeId) -> list[NodeId]:
        """Ids from its root to `node_id`, both included."""
        path = [node_id]
        while not self.is_root(path[-1]):
            path.append(self[path[-1]].parent)
        path.reverse()
        return path

    def is_root(self, node_id: NodeId) -> bool:
        """Whether a tree begins here."""
        return self[node_id].step is None

    def root_of(self, node_id: NodeId) -> NodeId:
        """Where the tree of a node begins."""
        while not self.is_root(node_id):
            node_id = self[node_id].parent
        return node_id

    def steps_to(self, node_id: NodeId) -> list[Expanded]:
        """The steps of the path, root first; empty for a root."""
        return [step for i in self.path_to(node_id) if (step := self[i].step) is not None]

    def expand(
        self, parent: NodeId, children: Sequence[Expanded], dropped: Sequence[Dropped]
    ) -> list[NodeId]:
        """Attach children to an unexpanded node."""
        node = self[parent]
        assert not node.expanded, f"node {parent} was expanded before"
        assert node.terminal is None, f"node {parent} is terminal"
        node.expanded = True
        self.dropped += [(parent, candidate) for candidate in dropped]
        for child in children:
            node.children.append(NodeId(len(self._nodes)))
            seeded = self._ppm_prior and child.ppm_score is not None
            self._nodes.append(
                Node(
                    parent=parent,
                    depth=node.depth + 1,
                    key=f"{node.key}.{child.sample}",
                    step=child,
                    visits=1 if seeded else 0,
                    value_sum=(child.ppm_score or 0.0) if seeded else 0.0,
                    terminal=Terminal.ANSWER if child.answer is not None else None,
                )
            )
        return node.children

    def open_children(self, node_id: NodeId) -> list[NodeId]:
        """Children worth a visit."""
        return [child for child in self[node_id].children if not self[child].closed]

    def select_child(
        self, parent: NodeId, *, exploration: float, rule: UnvisitedRule
    ) -> NodeId | None:
        """The open child with the best UCT score, the first of equals; None if all are closed."""
        best: NodeId | None = None
        best_score = -math.inf
        for child in self.open_children(parent):
            score = self.uct(child, exploration=exploration, rule=rule)
            if score > best_score:
                best, best_score = child, score
        return best

    def uct(self, child: NodeId, *, exploration: float, rule: UnvisitedRule) -> float:
        """Q(s) + c sqrt(ln N_parent(s) / N(s)), pending rollouts counted as losses.

        The rollout that selects has marked the parent and not yet the child: its own mark
        does not count, so that one rollout at a time is the sequential algorithm.
        """
        node = self[child]
        visits = node.visits + node.pending
        if visits == 0:
            return math.inf if rule is UnvisitedRule.FIRST else 0.0
        parent = self[node.parent]
        parent_visits = max(1, parent.visits + max(0, parent.pending - 1))
        mean = (node.value_sum - node.pending) / visits
        return mean + exploration * math.sqrt(math.log(parent_visits) / visits)

    def mark(self, node_id: NodeId) -> None:
        """Count a rollout that descends into this node."""
        self[node_id].pending += 1

    def backup(self, path: Sequence[NodeId], value: float) -> None:
        """Credit every node on `path` with `value` and take the rollout's marks away."""
        for node_id in path:
            node = self[node_id]
            node.visits += 1
            node.value_sum += value
            node.pending -= 1

    def release(self, path: Sequence[NodeId]) -> None:
        """Take a rollout's marks away; the tree learns nothing."""
        for node_id in path:
            self[node_id].pending -= 1

    def close(self, node_id: NodeId) -> None:
        """Close a node, and every ancestor that is left without an open child."""
        self[node_id].closed = True
        while not self.is_root(node_id):
            node_id = self[node_id].parent
            if self.open_children(node_id):
                return
            self[node_id].closed = True

    def check(self) -> None:
        """Raise AssertionError if an invariant is broken. For tests and idle moments."""
        for node_id in self.ids():
            node = self[node_id]
            assert node.pending >= 0, f"node {node_id}: pending {node.pending}"
            assert abs(node.value_sum) <= node.visits + 1e-9, f"node {node_id}: |W| exceeds N"
            backed_up = sum(
                self[c].visits - (1 if self._was_seeded(c) else 0) for c in node.children
            )
            own = node.visits - (1 if self._was_seeded(node_id) else 0)
            assert backed_up <= own, f"node {node_id}: children outvisit their parent"
            assert all(self[c].parent == node_id for c in node.children), f"node {node_id}"
            assert not (node.terminal and node.children), f"node {node_id}: terminal with children"
            if node.children:
                all_closed = not self.open_children(node_id)
                assert node.closed == all_closed, f"node {node_id}: closed is {node.closed}"

    def _was_seeded(self, node_id: NodeId) -> bool:
        step = self[node_id].step
        return self._ppm_prior and step is not None and step.ppm_score is not None
