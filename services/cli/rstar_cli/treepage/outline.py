"""A stored tree, indexed for drawing: children, the best path, means, the shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import tree_pb2

ROOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What the page needs to know besides the nodes themselves."""

    nodes: Mapping[int, tree_pb2.Node]
    children: Mapping[int, Sequence[int]]
    """Most visited first, then best mean."""

    dropped: Mapping[int, Sequence[tree_pb2.DroppedCandidate]]
    best: frozenset[int]
    """Ids on the way to the returned answer, the root included."""

    best_path: Sequence[int]
    """The same without the root, in order."""

    @property
    def most_visits(self) -> int:
        """Visits of the busiest node, at least 1."""
        return max([1, *(node.visits for node in self.nodes.values())])

    def depth_first(self) -> Iterator[int]:
        """Every node that hangs on the root, parents before children, best child first."""
        pending = [ROOT] if ROOT in self.nodes else []
        while pending:
            node_id = pending.pop()
            yield node_id
            pending.extend(reversed(self.children.get(node_id, ())))


def outline(tree: tree_pb2.Tree) -> Outline:
    """Index a tree. Nodes that claim an impossible parent are left out."""
    nodes = {node.id: node for node in tree.nodes}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for node in tree.nodes:
        # A parent always has the smaller id, so a damaged tree cannot make a cycle.
        if node.parent in nodes and node.parent < node.id:
            children[node.parent].append(node.id)
    for siblings in children.values():
        siblings.sort(key=lambda i: (-nodes[i].visits, -(mean(nodes[i]) or 0.0), i))
    dropped: defaultdict[int, list[tree_pb2.DroppedCandidate]] = defaultdict(list)
    for candidate in tree.dropped:
        dropped[candidate.parent].append(candidate)
    path = [i for i in _best_path(tree) if i in nodes and i != ROOT]
    return Outline(
        nodes=nodes,
        children=dict(children),
        dropped=dict(dropped),
        best=frozenset([ROOT, *path]),
        best_path=path,
    )


def _best_path(tree: tree_pb2.Tree) -> Sequence[int]:
    trajectories = tree.result.trajectories
    for trajectory in trajectories:
        if trajectory.answer == tree.result.answer:
            return trajectory.node_ids
    return trajectories[0].node_ids if trajectories else ()


def mean(node: tree_pb2.Node) -> float | None:
    """Q: the mean of the values backed up through a node; None before the first."""
    return node.value_sum / node.visits if node.visits else None


def positions(tree: Outline) -> dict[int, tuple[float, int]]:
    """Place each node: share of the width in [0, 1], and depth. A parent is above its middle."""
    order = list(tree.depth_first())
    leaves = [i for i in order if not tree.children.get(i)]
    places: dict[int, float] = {
        leaf: (index + 0.5) / len(leaves) for index, leaf in enumerate(leaves)
    }
    depths = {ROOT: 0}
    for node_id in order:
        for child in tree.children.get(node_id, ()):
            depths[child] = depths[node_id] + 1
    for node_id in reversed(order):
        if node_id not in places:
            below = [places[child] for child in tree.children[node_id]]
            places[node_id] = (min(below) + max(below)) / 2
    return {node_id: (places[node_id], depths[node_id]) for node_id in order}
