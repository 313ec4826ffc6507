"""Right answers by wrong programs, found out by what works elsewhere.

A wrong program is right by chance on one problem and wrong on the others of its kind. For
each question skeleton the success of a program skeleton is counted over all problems where
it was tried, per try, so an operation that was sampled more often gains nothing. How a program
reads what the question defines is counted apart, sentence by sentence: a wrong derivative there
is not held against what was done with it.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from rstar_common.formats import PromptStep
from rstar_trainer.dataset import Outcome, SearchTree
from rstar_trainer.shapes import words_of
from rstar_trainer.skeletons import AskedQuestion, definition_skeletons, program_skeleton

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

COMMON = 3
"""Questions a word must occur in to count as one, for strings of letters are particulars; and those
a sentence must occur in to be one that only defines, for others tell what the question is about."""


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
    defining: frozenset[str]
    """Sentences that many questions have before what they ask, without their mathematics."""

    rates: Mapping[str, Mapping[str, float]]
    """Question skeleton, program skeleton: how often it is right, 0 to 1; 0 if it fails too often
    to be as good as the best."""

    misread: Mapping[str, frozenset[str]]
    """Skeletons of a sentence that defines something: readings of it that are mostly wrong."""

    def scores(self, tree: SearchTree) -> dict[int, float]:
        """For each right answer's leaf: its program's success, relative to the best program."""
        right = [t for t in tree.trajectories() if t.outcome is Outcome.RIGHT]
        if not right:
            return {}
        asked = AskedQuestion(tree.question)
        sentences = asked.definition_skeletons(self.common)
        rates = self.rates.get(self.kind(asked), {})
        best = max(rates.values(), default=0.0) or 1.0
        programs = {t.leaf: self.program(sentences, Skeletons.of(asked, t.steps)) for t in right}
        return {leaf: rates.get(program, 0.0) / best for leaf, program in programs.items()}

    def disowned(self, tree: SearchTree) -> list[int]:
        """Leaves of right answers whose program does not agree with other problems."""
        return [leaf for leaf, score in self.scores(tree).items() if score < SHARE_OF_BEST]

    def kind(self, asked: AskedQuestion) -> str:
        """What a question asks; one that tells what hardly another does is of a kind of its own."""
        told = [one for one in asked.wordings(self.common) if one not in self.defining]
        return " ; ".join([asked.skeleton(self.common), *told])

    def program(self, sentences: Sequence[str], written: Skeletons) -> str:
        """The program's skeleton; another one if it misreads one of the `sentences`."""
        readings = zip(sentences, written.definitions, strict=True)
        if any(reading in self.misread.get(sentence, ()) for sentence, reading in readings):
            return f"{MISREAD} {written.program}"
        return written.program


def count_agreement(trees: Iterable[SearchTree]) -> Agreement:
    """Tally all trees. On one question all programs of one skeleton are one try."""
    words: Counter[str] = Counter()
    # A question searched again, in another round or deeper, is no other question.
    by_question: dict[str, tuple[AskedQuestion, Results]] = {}
    for tree in trees:
        if tree.question not in by_question:
            words.update(set(words_of(tree.question)))
            by_question[tree.question] = (AskedQuestion(tree.question), defaultdict(list))
        asked, results = by_question[tree.question]
        for one in tree.trajectories():
            if one.outcome is not Outcome.UNKNOWN:
                results[Skeletons.of(asked, one.steps)].append(one.outcome is Outcome.RIGHT)
    # Whatever the order of the trees, sums are the same to the last bit.
    problems = [by_question[question] for question in sorted(by_question)]
    common = frozenset(word for word, count in words.items() if count >= COMMON)

    before = Counter(one for asked, _ in problems for one in set(asked.wordings(common)))
    defining = frozenset(one for one, count in before.items() if count >= COMMON)

    readings = _Tally()
    for asked, results in problems:
        for number, sentence in enumerate(asked.definition_skeletons(common)):
            readings.add(sentence, _by(results, partial(_reading, number)))
    misread = {sentence: readings.mostly_wrong(sentence) for sentence in readings.kinds}
    read = Agreement(common, defining, rates={}, misread=misread)

    asking = _Tally()
    for asked, results in problems:
        sentences = asked.definition_skeletons(common)
        programs = _by(results, partial(read.program, sentences))
        asking.add(read.kind(asked), programs)
    rates = {}
    for kind in asking.kinds:
        worse = asking.worse_than_best(kind)
        rates[kind] = {
            name: 0.0 if name in worse else rate for name, rate in asking.rates(kind).items()
        }
    return replace(read, rates=rates)


Results = dict[Skeletons, list[bool]]
"""Of one question: programs whose answers were judged, and whether each was right."""


def _reading(number: int, written: Skeletons) -> str:
    return written.definitions[number]


def _by(results: Results, skeleton: Callable[[Skeletons], str]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = defaultdict(list)
    for written, right in results.items():
        found[skeleton(written)] += right
    return found


class _Tally:
    """Tries and hits of programs by the kind of question or sentence."""

    def __init__(self) -> None:
        self._tries: dict[str, Counter[str]] = defaultdict(Counter)
        self._hits: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    @property
    def kinds(self) -> Iterable[str]:
        """That were counted."""
        return self._tries.keys()

    def add(self, kind: str, results: Mapping[str, Sequence[bool]]) -> None:
        """One question: each program is one try, and hits as often as it was right."""
        for program, right in results.items():
            self._tries[kind][program] += 1
            self._hits[kind][program] += sum(right) / len(right)

    def rates(self, kind: str) -> dict[str, float]:
        """How often each program is right."""
        hits = self._hits[kind]
        return {name: hits[name] / (n + DOUBT_TRIES) for name, n in self._tries[kind].items()}

    def worse_than_best(self, kind: str) -> frozenset[str]:
        """Programs that fail too often to be as good as the one with the highest rate."""
        tries, hits, rates = self._tries[kind], self._hits[kind], self.rates(kind)
        best = max(sorted(rates), key=lambda program: rates[program])
        # Jeffreys' estimate: one that never failed in two tries may well fail.
        fails = max((tries[best] - hits[best] + 0.5) / (tries[best] + 1), LEAST_FAILURES)
        return frozenset(
            program
            for program, count in tries.items()
            if at_least(math.floor(count - hits[program] + 1e-9), count, fails) < CHANCE
        )

    def mostly_wrong(self, kind: str) -> frozenset[str]:
        """Of these, those that are right much less often: a few failures prove nothing."""
        rates = self.rates(kind)
        least = SHARE_OF_BEST * max(rates.values())
        return frozenset(name for name in self.worse_than_best(kind) if rates[name] < least)


def at_least(failures: int, tries: int, share: float) -> float:
    """Probability of so many failures or more, each of probability `share`, 0 to 1 without both."""

    def exactly(k: int) -> float:
        ways = math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
        return math.exp(ways + k * math.log(share) + (tries - k) * math.log1p(-share))

    return 1 - sum(exactly(k) for k in range(failures))
