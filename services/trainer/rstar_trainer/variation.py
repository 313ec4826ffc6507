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
from random import Random

from rstar_trainer.quotes import LETTERS, NAME, QUOTED, Quotes, quoted_once
from rstar_trainer.selection import Example

EXCHANGED = 0.7
"""Share of variants whose quotes are exchanged; the others only get other digits there."""

SYMBOL = re.compile(r"(?<![A-Za-z0-9_.\\])(?<![A-Za-z]')[b-rt-z](?![A-Za-z0-9_])")
"""A one-letter name that may be another one."""

WORD = re.compile(r"'[a-z]{2,}'|\bf'")
"""A string of letters, or a formatted one, in a program: its letters are not names."""

NUMBER = re.compile(r"(?<![0-9A-Za-z_])[0-9]{2,}(?![0-9A-Za-z_])")

DIGIT = re.compile(r"(?<![0-9A-Za-z_.])[1-9](?![0-9A-Za-z_])")

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
            question, programs = _requoted(question, programs, _other_digits, rng)
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
    """Other counts, and more things counted, where a program counts what the question does."""
    recounted: dict[str, str] = {}
    names = NAME.findall(question)
    counts = Counter(m[0] for program in programs for m in COUNTS.finditer(program))
    for said in sorted(said for said, times in counts.items() if times == 1):
        braced = "{" + said.replace("=", ": ") + "}"
        if question.count(braced) != 1:
            continue
        counted = [pair.split("=")[0] for pair in said.split(", ")]
        free = [name for name in LETTERS if name not in names]
        more = min(rng.choice((0, 0, 1, 2, 3)), MOST_COUNTED - len(counted), len(free))
        counted += rng.sample(free, max(0, more))
        rng.shuffle(counted)
        most = rng.choice((4, 9, 20))
        pairs = [(name, rng.randint(1, most)) for name in counted]
        recounted[said] = ", ".join(f"{name}={count}" for name, count in pairs)
        told = ", ".join(f"{name}: {count}" for name, count in pairs)
        question = question.replace(braced, "{" + told + "}")
    return question, [
        COUNTS.sub(lambda match: recounted.get(match[0], match[0]), text) for text in programs
    ]


def _renamed(question: str, programs: Sequence[str], rng: Random) -> tuple[str, list[str]]:
    """Other one-letter names, and other numbers of two digits and more, everywhere."""
    symbols = sorted(set(SYMBOL.findall(question)))
    if any(WORD.search(text) for text in programs):
        symbols = []
    renamed = dict(zip(symbols, rng.sample(LETTERS, len(symbols)), strict=True))
    numbers = sorted(set(NUMBER.findall(question)) - own_numbers(programs))
    changed = {number: _like(number, rng) for number in numbers}

    def rewrite(text: str) -> str:
        text = SYMBOL.sub(lambda match: renamed.get(match[0], match[0]), text)
        return NUMBER.sub(lambda match: changed.get(match[0], match[0]), text)

    return rewrite(question), [rewrite(text) for text in programs]


def _other_digits(text: str, use: str, rng: Random) -> str:
    return DIGIT.sub(lambda _: rng.choice("123456789"), text)


def _like(number: str, rng: Random) -> str:
    """A number with as many digits, and as many zeros before and behind them."""
    core = number.strip("0")
    if not core:
        return number
    before = len(number) - len(number.lstrip("0"))
    behind = len(number) - before - len(core)
    digits = [rng.choice("123456789") for _ in core]
    return "0" * before + "".join(digits) + "0" * behind
