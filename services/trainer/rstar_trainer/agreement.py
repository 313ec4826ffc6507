"""Right answers by wrong programs, found out by what works elsewhere.

A wrong program is right by chance on one problem and wrong on the others of its kind. For
each question skeleton the success of a program skeleton is counted over all problems where
it was tried, per try, so an operation that was sampled more often gains nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rstar_trainer.dataset import Outcome, SearchTree
from rstar_trainer.skeletons import AskedQuestion, program_skeleton, words_of

DOUBT_TRIES = 1.0
"""Failures assumed of every program before it was tried: one lucky hit proves little."""

SHARE_OF_BEST = 0.75
"""A program must succeed at least this often, relative to the best of its question skeleton."""

LEAST_FAILURES = 0.03
"""How often a right program is thought to fail: a judge in doubt, a skeleton of two questions."""

CHANCE = 0.05
"""A program whose failures are less likely than this, if it were as good as the best, is wrong."""

COMMON_WORD = 3
"""Questions a word must occur in to count as one; strings of letters are particulars."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Success of program skeletons by question skeleton."""

    common: frozenset[str]
    rates: Mapping[str, Mapping[str, float]]
    """Question skeleton, program skeleton: how often it is right, 0 to 1; 0 if it fails too often
    to be as good as the best."""

    def scores(self, tree: SearchTree) -> dict[int, float]:
        """For each right answer's leaf: its program's success, relative to the best program."""
        right = [t for t in tree.trajectories() if t.outcome is Outcome.RIGHT]
        if not right:
            return {}
        asked = AskedQuestion(tree.question)
        rates = self.rates.get(asked.skeleton(self.common), {})
        best = max(rates.values(), default=0.0) or 1.0
        return {t.leaf: rates.get(program_skeleton(asked, t.steps), 0.0) / best for t in right}

    def disowned(self, tree: SearchTree) -> list[int]:
        """Leaves of right answers whose program does not agree with other problems."""
        return [leaf for leaf, score in self.scores(tree).items() if score < SHARE_OF_BEST]


@dataclass(frozen=True, slots=True)
class _Tried:
    asked: AskedQuestion
    shares: dict[str, float]
    """Share of right answers of each program skeleton."""


def count_agreement(trees: Iterable[SearchTree]) -> Agreement:
    """Tally all trees. On one problem all programs of one skeleton are one try."""
    words: Counter[str] = Counter()
    problems: list[_Tried] = []
    for tree in trees:
        asked = AskedQuestion(tree.question)
        words.update(set(words_of(asked.asking)))
        results: dict[str, list[bool]] = defaultdict(list)
        for trajectory in tree.trajectories():
            if trajectory.outcome is not Outcome.UNKNOWN:
                program = program_skeleton(asked, trajectory.steps)
                results[program].append(trajectory.outcome is Outcome.RIGHT)
        shares = {program: sum(right) / len(right) for program, right in results.items()}
        problems.append(_Tried(asked, shares))
    common = frozenset(word for word, count in words.items() if count >= COMMON_WORD)
    tries: dict[str, Counter[str]] = defaultdict(Counter)
    hits: dict[str, Counter[str]] = defaultdict(Counter)
    for problem in problems:
        skeleton = problem.asked.skeleton(common)
        for program, share in problem.shares.items():
            tries[skeleton][program] += 1
            hits[skeleton][program] += share  # type: ignore[assignment] # a Counter of floats
    return Agreement(
        common, {skeleton: _rates(tried, hits[skeleton]) for skeleton, tried in tries.items()}
    )


def _rates(tries: Mapping[str, int], hits: Mapping[str, float]) -> dict[str, float]:
    """How often each program of a question skeleton is right."""
    rates = {program: hits[program] / (count + DOUBT_TRIES) for program, count in tries.items()}
    best = max(rates, key=lambda program: rates[program])
    # Jeffreys' estimate: one that never failed in two tries may well fail.
    fails = max((tries[best] - hits[best] + 0.5) / (tries[best] + 1), LEAST_FAILURES)
    return {
        program: 0.0
        if _at_least(math.floor(count - hits[program] + 1e-9), count, fails) < CHANCE
        else rates[program]
        for program, count in tries.items()
    }


def _at_least(failures: int, tries: int, share: float) -> float:
    """Probability of so many failures or more, each of probability `share`."""
    return 1 - sum(
        math.comb(tries, k) * share**k * (1 - share) ** (tries - k) for k in range(failures)
    )
