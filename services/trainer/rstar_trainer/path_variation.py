"""Variants of what a PPM compares: other names, other digits, the same difference.

A small PPM with few pairs learns their names and numbers by heart instead of comparing a
program with its question. So siblings are also shown with their question's one-letter symbols
permuted and its digits exchanged one for one, in the question and in every line alike: what a
wrong program copied wrongly is wrong in the same place.

    What is 1203 + 45?    A = E('1203 + 45')    A = E('1230 + 45')
    What is 4708 + 92?    A = E('4708 + 92')    A = E('4780 + 92')

Numbers that a program has of its own stay. Nothing of a variant was executed, so its final
lines show no output. A PPM whose policy began with real weights needs none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from rstar_common.formats import PromptStep
from rstar_trainer.quotes import LETTERS, QUOTED, quoted_once
from rstar_trainer.variation import DIGIT, NUMBER, SYMBOL, WORD, own_numbers

Path = tuple[PromptStep, ...]

_EXCHANGED = "123456789"
"""Zeros stay: numbers keep their size."""


def vary(question: str, paths: Sequence[Path], rng: Random) -> tuple[str, list[Path]]:
    """One variant of a question and of the paths that are compared."""
    programs = sorted({step.text for path in paths for step in path})
    table = str.maketrans(_EXCHANGED, "".join(rng.sample(_EXCHANGED, len(_EXCHANGED))))
    own = own_numbers(programs)
    symbols = sorted(set(SYMBOL.findall(question)))
    if any(WORD.search(text) for text in programs):
        symbols = []
    renamed = dict(zip(symbols, rng.sample(LETTERS, len(symbols)), strict=True))
    places = quoted_once(question, programs)
    exchanged = {text for text, _ in places.values()}

    def digits(text: str) -> str:
        return DIGIT.sub(lambda match: match[0].translate(table), text)

    def everywhere(text: str) -> str:
        text = SYMBOL.sub(lambda match: renamed.get(match[0], match[0]), text)
        return NUMBER.sub(
            lambda match: match[0] if match[0] in own else match[0].translate(table), text
        )

    def quote(text: str) -> str:
        # What is found nowhere in the question was copied wrongly, from a place that changes.
        return digits(text) if text in exchanged or text not in question else text

    parts, end = [], 0
    for start, (text, _) in sorted(places.items()):
        parts += [question[end:start], digits(text)]
        end = start + len(text)

    def rewritten(step: PromptStep) -> PromptStep:
        text = QUOTED.sub(lambda match: f"{match[1]}'{quote(match[2])}'", step.text)
        return replace(step, text=everywhere(text), output="", token_ids=())

    return everywhere("".join([*parts, question[end:]])), [
        tuple(rewritten(step) for step in path) for path in paths
    ]
