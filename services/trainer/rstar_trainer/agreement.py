"""Right answers by wrong programs, found out by what works elsewhere.

A wrong program is right by chance on one problem and wrong on the others of its kind. For
each question skeleton the success of a program skeleton is counted over all problems where
it was tried, per try, so an operation that was sampled more often gains nothing.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from rstar_common.formats import PromptStep
from rstar_trainer.dataset import Outcome, SearchTree
from rstar_trainer.skeletons import (
    AskedQuestion,
    definition_skeletons,
    program_skeleton,
    words_of,
)

DOUBT_TRIES = 1.0
"""Failures assumed of every program before it was tried: one lucky hit proves little."""

SHARE_OF_BEST = 0.75
"""A program must succeed at least this often, relative to the best of its question skeleton."""

LEAST_FAILURES = 0.03
"""How often a right program is thought to fail: a judge in doubt, a skeleton of two questions."""

CHANCE = 0.05
"""A program whose failures are less likely than this, if it were as good as the best, is wrong."""

MISREAD = "!"
"""Before the skeleton of a program that reads a definition in a way that is mostly wrong."""

COMMON_WORD = 3
"""Questions a word must occur in to count as one; strings of letters are particulars."""


Rates = Mapping[str, Mapping[str, float]]
"""Question skeleton, program skeleton: how often it is right, 0 to 1; 0 if it fails too often to be
as good as the best."""


@dataclass(frozen=True, slots=True)
class Skeletons:
    """Of a program."""

    program: str
    """What it does with what the question asks about."""

    definitions: tuple[str, ...]
    """How it reads each sentence that defines something before."""

    @classmethod
    def of(cls, asked: AskedQuestion, steps: Sequence[PromptStep]) -> Self:
        """Those of `steps`; equal ones share their texts, for there are many."""
        definitions = tuple(map(sys.intern, definition_skeletons(asked, steps)))
        return cls(sys.intern(program_skeleton(asked, steps)), definitions)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Success of program skeletons by question skeleton."""

    common: frozenset[str]
    rates: Rates
    """Of what questions ask."""

    definitions: Rates
    """Of the sentences that define something before."""

    def scores(self, tree: SearchTree) -> dict[int, float]:
        """For each right answer's leaf: its program's success, relative to the best program."""
        right = [t for t in tree.trajectories() if t.outcome is Outcome.RIGHT]
        if not right:
            return {}
        asked = AskedQuestion(tree.question)
        rates = self.rates.get(asked.skeleton(self.common), {})
        best = max(rates.values(), default=0.0) or 1.0
        programs = {t.leaf: self.program(asked, Skeletons.of(asked, t.steps)) for t in right}
        return {leaf: rates.get(program, 0.0) / best for leaf, program in programs.items()}

    def disowned(self, tree: SearchTree) -> list[int]:
        """Leaves of right answers whose program does not agree with other problems."""
        return [leaf for leaf, score in self.scores(tree).items() if score < SHARE_OF_BEST]

    def program(self, asked: AskedQuestion, written: Skeletons) -> str:
        """The program's skeleton; another one if it reads a definition as hardly anybody does.

        So a wrong definition is not held against programs that go on in the same way.
        """
        sentences = asked.definition_skeletons(self.common)
        for sentence, lines in zip(sentences, written.definitions, strict=True):
            rates = self.definitions.get(sentence, {})
            if rates.get(lines, 0.0) < SHARE_OF_BEST * max(rates.values(), default=0.0):
                return f"{MISREAD} {written.program}"
        return written.program


def count_agreement(trees: Iterable[SearchTree]) -> Agreement:
    """Tally all trees. On one problem all programs of one skeleton are one try."""
    words: Counter[str] = Counter()
    problems: list[tuple[AskedQuestion, list[tuple[Skeletons, bool]]]] = []
    for tree in trees:
        asked = AskedQuestion(tree.question)
        words.update(set(words_of(tree.question)))
        tried = [
            (Skeletons.of(asked, one.steps), one.outcome is Outcome.RIGHT)
            for one in tree.trajectories()
            if one.outcome is not Outcome.UNKNOWN
        ]
        problems.append((asked, tried))
    common = frozenset(word for word, count in words.items() if count >= COMMON_WORD)

    definitions = _Tally()
    for asked, tried in problems:
        for number, sentence in enumerate(asked.definition_skeletons(common)):
            definitions.add(sentence, ((one.definitions[number], right) for one, right in tried))
    read = Agreement(common, rates={}, definitions=definitions.rates())

    asking = _Tally()
    for asked, tried in problems:
        programs = ((read.program(asked, one), right) for one, right in tried)
        asking.add(asked.skeleton(common), programs)
    return replace(read, rates=asking.rates(tested=True))


class _Tally:
    """Tries and hits of programs by question skeleton."""

    def __init__(self) -> None:
        self._tries: dict[str, Counter[str]] = defaultdict(Counter)
        self._hits: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def add(self, skeleton: str, programs: Iterable[tuple[str, bool]]) -> None:
        """One problem: each program is one try, and hits as often as it was right."""
        results: dict[str, list[bool]] = defaultdict(list)
        for program, right in programs:
            results[program].append(right)
        for program, rights in results.items():
            self._tries[skeleton][program] += 1
            self._hits[skeleton][program] += sum(rights) / len(rights)

    def rates(self, *, tested: bool = False) -> Rates:
        """How often each is right; if `tested`, 0 for what fails too often to be as the best."""
        found: dict[str, Mapping[str, float]] = {}
        for key, tries in self._tries.items():
            hits = self._hits[key]
            rates = {program: hits[program] / (n + DOUBT_TRIES) for program, n in tries.items()}
            worse = _worse_than_best(rates, tries, hits) if tested else frozenset()
            found[key] = {name: 0.0 if name in worse else rate for name, rate in rates.items()}
        return found


def _worse_than_best(
    rates: Mapping[str, float], tries: Mapping[str, int], hits: Mapping[str, float]
) -> frozenset[str]:
    """Programs that fail too often to be as good as the one with the highest rate."""
    best = max(rates, key=lambda program: rates[program])
    # Jeffreys' estimate: one that never failed in two tries may well fail.
    fails = max((tries[best] - hits[best] + 0.5) / (tries[best] + 1), LEAST_FAILURES)
    return frozenset(
        program
        for program, count in tries.items()
        if _at_least(math.floor(count - hits[program] + 1e-9), count, fails) < CHANCE
    )


def _at_least(failures: int, tries: int, share: float) -> float:
    """Probability of so many failures or more, each of probability `share`."""

    def exactly(k: int) -> float:
        ways = math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
        return math.exp(ways + k * math.log(share) + (tries - k) * math.log1p(-share))

    return 1 - sum(exactly(k) for k in range(failures))
