"""Right answers by wrong programs, found out by what works elsewhere.

A wrong program is right by chance on one problem and wrong on the others of its kind. For
each question skeleton the success of a program skeleton is counted over all problems where
it was tried, per try, so an operation that was sampled more often gains nothing. Rare
question skeletons lean on the sentence that asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from rstar_trainer.dataset import Outcome, SearchTree, Trajectory
from rstar_trainer.skeletons import last_clause, program_skeleton, question_skeleton

BACKING_TRIES = 2.0
"""Weight, in problems, of what is known from the coarser skeleton."""

DOUBT_TRIES = 1.0
"""Failures assumed of every program before it was tried: one lucky hit proves little."""

SHARE_OF_BEST = 0.75
"""A program must succeed at least this often, relative to the best of its question skeleton."""


@dataclass(slots=True)
class _Tally:
    tries: float = 0.0
    hits: float = 0.0

    def rate(self, prior: float, weight: float) -> float:
        return (self.hits + prior * weight) / (self.tries + weight)


@dataclass(slots=True)
class Agreement:
    """Success of program skeletons by question skeleton."""

    fine: dict[str, dict[str, _Tally]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(_Tally))
    )
    coarse: dict[str, dict[str, _Tally]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(_Tally))
    )
    _best: dict[str, float] = field(default_factory=dict)

    def count(self, tree: SearchTree) -> None:
        """Add the tries of one problem. Each program skeleton counts as one try."""
        tried: dict[str, list[bool]] = defaultdict(list)
        for trajectory in tree.trajectories():
            if trajectory.outcome is not Outcome.UNKNOWN:
                program = program_skeleton(tree.question, trajectory.steps)
                tried[program].append(trajectory.outcome is Outcome.RIGHT)
        fine = self.fine[question_skeleton(tree.question)]
        coarse = self.coarse[question_skeleton(last_clause(tree.question))]
        for program, results in tried.items():
            for tally in (fine[program], coarse[program]):
                tally.tries += 1
                tally.hits += sum(results) / len(results)

    def score(self, question: str, program: str) -> float:
        """How often `program` is right on questions like this one; 0 to 1."""
        coarse = self.coarse[question_skeleton(last_clause(question))][program]
        fine = self.fine[question_skeleton(question)][program]
        return fine.rate(coarse.rate(0.0, DOUBT_TRIES), BACKING_TRIES)

    def best(self, question: str) -> float:
        """The score of the best program for questions like this one."""
        key = question_skeleton(question)
        if key not in self._best:
            programs = list(self.fine[key])
            self._best[key] = max((self.score(question, one) for one in programs), default=0.0)
        return self._best[key]

    def disowned(self, tree: SearchTree) -> list[int]:
        """Leaves of right answers whose program does not agree with other problems."""
        right = [t for t in tree.trajectories() if t.outcome is Outcome.RIGHT]
        if not right:
            return []
        least = SHARE_OF_BEST * self.best(tree.question)
        return [t.leaf for t in right if self._score_of(tree, t) < least]

    def _score_of(self, tree: SearchTree, trajectory: Trajectory) -> float:
        return self.score(tree.question, program_skeleton(tree.question, trajectory.steps))


def count_agreement(trees: Iterable[SearchTree]) -> Agreement:
    """Tally all trees."""
    agreement = Agreement()
    for tree in trees:
        agreement.count(tree)
    return agreement
