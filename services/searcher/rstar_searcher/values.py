"""What a terminal node is worth (rStar-Math section 3.2; the table in `Mcts`)."""

from __future__ import annotations

from rstar_searcher.model import Verdict
from rstar_searcher.settings import Mode, SearchSettings
from rstar_searcher.tree import Node, NodeId, Terminal, Tree

DEAD_END_VALUE = -1.0
"""Value of a line of thought that ends without an answer."""


def terminal_value(node: Node, mode: Mode) -> float | None:
    """The value to back up from a terminal node; None: back up nothing (undecided)."""
    assert node.terminal is not None
    if node.terminal is not Terminal.ANSWER or node.step is None:
        return DEAD_END_VALUE
    if mode.uses_reference:
        return {Verdict.EQUAL: 1.0, Verdict.UNEQUAL: -1.0}.get(
            node.step.verdict or Verdict.UNDECIDED
        )
    # Without a PPM a rollout still counts as a visit.
    return node.step.ppm_score or 0.0


def limit_reached(tree: Tree, node_id: NodeId, settings: SearchSettings) -> bool:
    """Whether a trajectory may not grow below this node."""
    if tree[node_id].depth >= settings.max_depth:
        return True
    tokens = sum(len(step.candidate.token_ids) for step in tree.steps_to(node_id))
    return tokens >= settings.max_trajectory_tokens


def finish_trajectory(tree: Tree, leaf: NodeId, mode: Mode) -> float | None:
    """Back up a terminal node that no rollout marked, and close it; returns its value."""
    path = tree.path_to(leaf)
    value = terminal_value(tree[leaf], mode)
    if value is not None:
        for node_id in path:
            tree.mark(node_id)
        tree.backup(path, value)
    tree.close(leaf)
    return value
