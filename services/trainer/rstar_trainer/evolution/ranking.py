"""What a search found, and how its PPM orders it: right before wrong, or not.

Measured on the trees of test-time searches, whose problems neither model has learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, tree_pb2, types_pb2

MULTI_STEP = 3
"""Code steps of a trajectory from which on the PPM judges more than an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A trajectory that states an answer."""

    answer: str
    score: float | None
    """None where no PPM scored it."""

    code_steps: int


def finished_trajectories(tree: tree_pb2.Tree) -> list[Finished]:
    """The answers of a tree."""
    found = []
    for node in tree.nodes:
        if node.terminal != tree_pb2.TERMINAL_ANSWER:
            continue
        steps, at = 0, node
        while at.parent != at.id:
            steps += at.candidate.step.kind != types_pb2.STEP_KIND_ANSWER
            at = tree.nodes[at.parent]
        score = node.ppm_score if node.HasField("ppm_score") else None
        found.append(Finished(answer=node.answer, score=score, code_steps=steps))
    return found


Graded = tuple[Sequence[Finished], Mapping[str, types_pb2.Verdict.ValueType]]
"""What one search found, with the verdict of each answer."""


def holding(searches: Iterable[Graded]) -> int:
    """How many searches found a right answer, whether or not they chose it."""
    return sum(
        any(verdicts[one.answer] == types_pb2.VERDICT_EQUAL for one in trajectories)
        for trajectories, verdicts in searches
    )


def ranking(searches: Iterable[Graded]) -> evolution_pb2.Ranking:
    """Count pairs of a right and a wrong trajectory of one problem; a tie is not ordered rightly.

    Undecided answers, and those without a score, make no pair.
    """
    found = evolution_pb2.Ranking()
    for finished, verdicts in searches:
        scored = [
            (one, one.score, verdicts[one.answer]) for one in finished if one.score is not None
        ]
        right = [(one, score) for one, score, v in scored if v == types_pb2.VERDICT_EQUAL]
        wrong = [(one, score) for one, score, v in scored if v == types_pb2.VERDICT_UNEQUAL]
        for better, high in right:
            for worse, low in wrong:
                ordered = high > low
                found.pairs += 1
                found.ordered_rightly += ordered
                if min(better.code_steps, worse.code_steps) >= MULTI_STEP:
                    found.multi_step_pairs += 1
                    found.multi_step_ordered_rightly += ordered
    return found
