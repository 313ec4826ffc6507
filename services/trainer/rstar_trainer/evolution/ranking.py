"""How a PPM orders the trajectories of a problem: right before wrong, or not.

Measured on the trees of test-time searches, whose problems neither model has learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, tree_pb2, types_pb2

MULTI_STEP = 3
"""Code steps of a trajectory from which on the PPM judges more than an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A finished trajectory as the PPM sees it."""

    answer: str
    score: float
    code_steps: int


def scored_trajectories(tree: tree_pb2.Tree) -> list[Scored]:
    """The answers of a tree that have a score."""
    found = []
    for node in tree.nodes:
        if node.terminal != tree_pb2.TERMINAL_ANSWER or not node.HasField("ppm_score"):
            continue
        steps, at = 0, node
        while at.parent != at.id:
            steps += at.candidate.step.kind != types_pb2.STEP_KIND_ANSWER
            at = tree.nodes[at.parent]
        found.append(Scored(answer=node.answer, score=node.ppm_score, code_steps=steps))
    return found


def ranking(
    trees: Iterable[tuple[Sequence[Scored], Mapping[str, types_pb2.Verdict.ValueType]]],
) -> evolution_pb2.Ranking:
    """Count pairs of a right and a wrong trajectory of one problem; a tie is not ordered rightly.

    `trees` are trajectories with the verdict of each answer; undecided ones make no pair.
    """
    found = evolution_pb2.Ranking()
    for trajectories, verdicts in trees:
        right = [one for one in trajectories if verdicts[one.answer] == types_pb2.VERDICT_EQUAL]
        wrong = [one for one in trajectories if verdicts[one.answer] == types_pb2.VERDICT_UNEQUAL]
        for better in right:
            for worse in wrong:
                ordered = better.score > worse.score
                found.pairs += 1
                found.ordered_rightly += ordered
                if min(better.code_steps, worse.code_steps) >= MULTI_STEP:
                    found.multi_step_pairs += 1
                    found.multi_step_ordered_rightly += ordered
    return found
