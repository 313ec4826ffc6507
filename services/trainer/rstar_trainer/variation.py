"""Variants of an example: other names, other numbers, the same program.

A small model with few examples learns their names and numbers by heart instead of copying
what the question says. So an example is also shown with its one-letter symbols permuted
and its longer numbers replaced, everywhere they stand: in the question, and where the
program quotes it. Only numbers of two digits and more change, and only those the question
spells: the short ones of a program may be its own (`diff(A, x, 2)`). A variant was not
executed; the example it comes from was. Real policies start from a model that can copy and
need none of this.
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


def variant(example: Example, rng: Random) -> Example:
    """One variant of an example; its tokens are no longer those that were generated."""
    symbols = sorted(set(SYMBOL.findall(example.question)))
    if any(WORD.search(step.text) for step in example.steps):
        symbols = []
    letters = [chr(code) for code in range(ord("b"), ord("z") + 1) if chr(code) != "s"]
    renamed = dict(zip(symbols, rng.sample(letters, len(symbols)), strict=True))
    numbers = sorted(set(NUMBER.findall(example.question)))
    changed = {number: _like(number, rng) for number in numbers}

    def rewrite(text: str) -> str:
        text = SYMBOL.sub(lambda match: renamed.get(match[0], match[0]), text)
        return NUMBER.sub(lambda match: changed.get(match[0], match[0]), text)

    return replace(
        example,
        question=rewrite(example.question),
        steps=tuple(
            replace(step, text=rewrite(step.text), output="", token_ids=())
            for step in example.steps
        ),
    )


def _like(number: str, rng: Random) -> str:
    """A number with as many digits, and as many zeros before and behind them."""
    core = number.strip("0")
    if not core:
        return number
    before = len(number) - len(number.lstrip("0"))
    behind = len(number) - before - len(core)
    digits = [rng.choice("123456789") for _ in core]
    return "0" * before + "".join(digits) + "0" * behind
