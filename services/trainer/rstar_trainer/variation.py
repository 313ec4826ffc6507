"""Variants of an example: other names, other numbers, the same program.

A small model with few examples learns their names and numbers by heart instead of copying
what the question says. So an example is also shown with its one-letter symbols permuted
and its numbers replaced, everywhere they stand: in the question, and where the program
quotes it. A number of two digits and more changes wherever it is spelled; a single digit
only inside a text that the program quotes from the question, for elsewhere it may be the
program's own (`diff(A, x, 2)`). A variant was not executed; the example it comes from was.
Real policies start from a model that can copy and need none of this.
"""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from rstar_trainer.selection import Example

SYMBOL = re.compile(r"(?<![A-Za-z0-9_\\])(?<![A-Za-z]')[b-rt-z](?![A-Za-z0-9_])")
"""A one-letter name. `a` is an article, `s` a variable of the programs' own first lines."""

WORD = re.compile(r"'[a-z]{2,}'|\bf'")
"""A string of letters, or a formatted one, in a program: its letters are not names."""

NUMBER = re.compile(r"(?<![0-9A-Za-z_])[0-9]{2,}(?![0-9A-Za-z_])")

DIGIT = re.compile(r"(?<![0-9A-Za-z_.])[1-9](?![0-9A-Za-z_])")

QUOTED = re.compile(r"'([^'\\\n]{2,})'")
"""A text in a program."""


def variant(example: Example, rng: Random) -> Example:
    """One variant of an example; its tokens are no longer those that were generated."""
    programs = [step.text for step in example.steps]
    symbols = sorted(set(SYMBOL.findall(example.question)))
    if any(WORD.search(text) for text in programs):
        symbols = []
    letters = [chr(code) for code in range(ord("b"), ord("z") + 1) if chr(code) != "s"]
    renamed = dict(zip(symbols, rng.sample(letters, len(symbols)), strict=True))
    numbers = sorted(set(NUMBER.findall(example.question)))
    changed = {number: _like(number, rng) for number in numbers}
    places = _quoted_once(example.question, programs)
    quotes = {text: DIGIT.sub(lambda _: rng.choice("123456789"), text) for text in places.values()}

    def rewrite(text: str) -> str:
        text = SYMBOL.sub(lambda match: renamed.get(match[0], match[0]), text)
        return NUMBER.sub(lambda match: changed.get(match[0], match[0]), text)

    def requote(match: re.Match[str]) -> str:
        return f"'{quotes.get(match[1], match[1])}'"

    question, end = "", 0
    for start, text in sorted(places.items()):
        question += example.question[end:start] + quotes[text]
        end = start + len(text)
    question += example.question[end:]
    return replace(
        example,
        question=rewrite(question),
        steps=tuple(
            replace(step, text=rewrite(QUOTED.sub(requote, step.text)), output="", token_ids=())
            for step in example.steps
        ),
    )


def _quoted_once(question: str, programs: list[str]) -> dict[int, str]:
    """Where the question spells what the programs quote from just one place, nothing beside it."""
    quoted = {match[1] for text in programs for match in QUOTED.finditer(text)}
    found = [
        (match.start(), text)
        for text in sorted(quoted)
        for match in re.finditer(re.escape(text), question)
    ]
    return {
        start: text
        for start, text in found
        if not any(
            other < start + len(text) and start < other + len(longer)
            for other, longer in found
            if (other, longer) != (start, text)
        )
        and question.count(text) == 1
    }


def _like(number: str, rng: Random) -> str:
    """A number with as many digits, and as many zeros before and behind them."""
    core = number.strip("0")
    if not core:
        return number
    before = len(number) - len(number.lstrip("0"))
    behind = len(number) - before - len(core)
    digits = [rng.choice("123456789") for _ in core]
    return "0" * before + "".join(digits) + "0" * behind
