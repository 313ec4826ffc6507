"""Variants of an example: other names, other numbers, other quotes, the same program.

A small model with few examples learns their names and numbers by heart instead of copying
what the question says. So an example is also shown with its one-letter symbols permuted,
its numbers replaced, and what the program quotes from the question exchanged, everywhere
they stand. Numbers that a program has outside of its quotes may be its own
(`diff(A, x, 2)`, `10**3`): they stay, in the question too. A variant was not executed; the
example it comes from was. Real policies start from a model that can copy and need none of
this.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

from rstar_trainer.quotes import LETTERS, NAME, QUOTED, Quotes, quoted_once
from rstar_trainer.selection import Example

EXCHANGED = 0.7
"""Share of variants whose quotes are exchanged; the others only get other digits and letters."""

SYMBOL = re.compile(r"(?<![A-Za-z0-9_.\\])(?<![A-Za-z]')[b-rt-z](?![A-Za-z0-9_])")
"""A one-letter name that may be another one."""

WORD = re.compile(r"'[a-z]{2,}'|\bf'")
"""A string of letters, or a formatted one, in a program: its letters are not names."""

NUMBER = re.compile(r"(?<![0-9A-Za-z_])[0-9]{2,}(?![0-9A-Za-z_])")

COUNTS = re.compile(r"\b[a-z]=\d+(?:, [a-z]=\d+)*")
"""Counted things in a program: `b=2, c=1` where the question has `{b: 2, c: 1}`."""

MOST_COUNTED = 10


class Variation:
    """Makes variants of a set of examples."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._quotes = Quotes((one.question, [s.text for s in one.steps]) for one in examples)

    def variant(self, example: Example, rng: Random) -> Example:
        """One variant of an example; its tokens are no longer those that were generated."""
        question, programs = example.question, [step.text for step in example.steps]
        if rng.random() < EXCHANGED:
            question, programs = _recounted(question, programs, rng)
            question, programs = _requoted(question, programs, self._quotes.another, rng)
        else:
            question, programs = _requoted(question, programs, self._quotes.alike, rng)
        question, programs = _renamed(question, programs, rng)
        return replace(
            example,
            question=question,
            steps=tuple(
                replace(step, text=text, output="", token_ids=())
                for step, text in zip(example.steps, programs, strict=True)
            ),
        )


def own_numbers(programs: Iterable[str]) -> set[str]:
    """Numbers of two digits and more that programs have outside of what they quote and count."""
    return {
        number
        for text in programs
        for number in NUMBER.findall(QUOTED.sub("", COUNTS.sub("", text)))
    }


def _requoted(
    question: str,
    programs: Sequence[str],
    another: Callable[[str, str, Random], str],
    rng: Random,
) -> tuple[str, list[str]]:
    """Exchange what the programs quote from just one place, in both."""
    places = quoted_once(question, programs)
    exchanged = {text: another(text, use, rng) for text, use in places.values()}
    parts, end = [], 0
    for start, (text, _) in sorted(places.items()):
        parts += [question[end:start], exchanged[text]]
        end = start + len(text)

    def requote(match: re.Match[str]) -> str:
        return f"{match[1]}'{exchanged.get(match[2], match[2])}'"

    return "".join([*parts, question[end:]]), [QUOTED.sub(requote, text) for text in programs]


def _recounted(question: str, programs: Sequence[str], rng: Random) -> tuple[str, list[str]]:
    """Other counts of other things, where a program counts what the question does.

    In braces (`{b: 2, c: 1}`) there may be more things; in words (`2 b and 1 c`) as many in all.
    """
    counts = Counter(m[0] for program in programs for m in COUNTS.finditer(program))
    pairs = {said: _pairs(said) for said in sorted(said for said, n in counts.items() if n == 1)}
    recounted: dict[str, str] = {}
    names: list[str] = []
    for said, counted in pairs.items():
        braced = _braced(counted)
        if question.count(braced) == 1:
            others = _more_counted(counted, NAME.findall(question), rng)
            names += [name for name, _ in others]
            question = question.replace(braced, _braced(others))
            recounted[said] = ", ".join(f"{name}={count}" for name, count in others)
    for said, counted in pairs.items():
        told = re.compile(rf"(?<!\w){_in_words(counted)}(?!\w)")
        if said not in recounted and len(told.findall(question)) == 1:
            free = names or list(LETTERS)
            parts = _parts(sum(count for _, count in counted), len(free), rng)
            others = list(zip(rng.sample(free, len(parts)), parts, strict=True))
            question = told.sub(_in_words(others), question)
            recounted[said] = ", ".join(f"{name}={count}" for name, count in others)
    return question, [
        COUNTS.sub(lambda match: recounted.get(match[0], match[0]), text) for text in programs
    ]


def _pairs(said: str) -> list[tuple[str, int]]:
    return [(name, int(count)) for name, count in (one.split("=") for one in said.split(", "))]


def _braced(pairs: Sequence[tuple[str, int]]) -> str:
    return "{" + ", ".join(f"{name}: {count}" for name, count in pairs) + "}"


def _in_words(pairs: Sequence[tuple[str, int]]) -> str:
    *others, last = [f"{count} {name}" for name, count in pairs]
    return f"{', '.join(others)} and {last}" if others else last


def _more_counted(
    pairs: Sequence[tuple[str, int]], taken: Sequence[str], rng: Random
) -> list[tuple[str, int]]:
    names = [name for name, _ in pairs]
    free = [name for name in LETTERS if name not in taken]
    more = min(rng.choice((0, 0, 1, 2, 3)), MOST_COUNTED - len(names), len(free))
    names += rng.sample(free, max(0, more))
    rng.shuffle(names)
    most = rng.choice((4, 9, 20))
    return [(name, rng.randint(1, most)) for name in names]


def _parts(total: int, most: int, rng: Random) -> list[int]:
    """`total` in parts, as many as chance will have and `most` at most."""
    count = rng.randint(1, max(1, min(total, most)))
    cuts = sorted(rng.sample(range(1, total), count - 1))
    return [end - start for start, end in pairwise([0, *cuts, total])]


def _renamed(question: str, programs: Sequence[str], rng: Random) -> tuple[str, list[str]]:
    """Other one-letter names, and other numbers of two digits and more, everywhere."""
    symbols = sorted(set(SYMBOL.findall(question)))
    if any(WORD.search(text) for text in programs):
        symbols = []
    theirs = {name for text in programs for name in SYMBOL.findall(text)} - set(symbols)
    free = [letter for letter in LETTERS if letter not in theirs]
    if len(free) < len(symbols):
        symbols = []
    renamed = dict(zip(symbols, rng.sample(free, len(symbols)), strict=True))
    numbers = sorted(set(NUMBER.findall(question)) - own_numbers(programs))
    changed = {number: _like(number, rng) for number in numbers}

    def rewrite(text: str) -> str:
        text = SYMBOL.sub(lambda match: renamed.get(match[0], match[0]), text)
        return NUMBER.sub(lambda match: changed.get(match[0], match[0]), text)

    return rewrite(question), [rewrite(text) for text in programs]


def _like(number: str, rng: Random) -> str:
    """A number with as many digits, and as many zeros before and behind them."""
    core = number.strip("0")
    if not core:
        return number
    before = len(number) - len(number.lstrip("0"))
    behind = len(number) - before - len(core)
    digits = [rng.choice("123456789") for _ in core]
    return "0" * before + "".join(digits) + "0" * behind
