"""Variants of what a PPM compares: other names, other digits, the same difference.

A small PPM with few pairs learns their names and numbers by heart instead of comparing a
program with its question. So siblings are also shown with their question's one-letter symbols
permuted and its digits exchanged one for one, in the question and in every line alike: what a
wrong program copied wrongly is wrong in the same place.

    What is 1203 + 45?    A = E('1203 + 45')    A = E('1230 + 45')
    What is 4302 + 15?    A = E('4302 + 15')    A = E('4320 + 15')

What a program has of its own stays. Nothing of a variant was executed, so its final lines show
no output, and which line is right is known as far as it does not hang on a value: where one
program takes `B - A` and another `A - B`, a variant may prefer the wrong one. A PPM whose policy
began with real weights needs none of this.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from random import Random

from rstar_common.formats import PromptStep
from rstar_trainer.quotes import DIGIT, LETTERS, QUOTED, quoted_once, stands_in
from rstar_trainer.variation import COUNTS, NUMBER, SYMBOL, WORD, own_numbers

Path = tuple[PromptStep, ...]

MISCOPIED = 0.6
"""Likeness, 0 to 1, from which on a text is a wrong copy of another and no constant."""


def vary(question: str, paths: Sequence[Path], rng: Random) -> tuple[str, list[Path]] | None:
    """One variant of a question and of the paths that are compared.

    None if two of them would become one: the exchange met something that stays.
    """
    programs = sorted({step.text for path in paths for step in path})
    copied = _Copied.of(question, programs)
    table = _digits(question, rng)
    renamed = _letters(question, programs, rng)

    def digits(text: str) -> str:
        return DIGIT.sub(lambda match: match[0].translate(table), text)

    def everywhere(text: str) -> str:
        text = SYMBOL.sub(lambda match: renamed.get(match[0], match[0]), text)
        return NUMBER.sub(
            lambda match: match[0] if match[0] in copied.own else match[0].translate(table), text
        )

    parts, end = [], 0
    for start, text in sorted(copied.places.items()):
        parts += [question[end:start], digits(text)]
        end = start + len(text)

    def rewritten(step: PromptStep) -> PromptStep:
        text = QUOTED.sub(
            lambda match: (
                f"{match[1]}'{digits(match[2]) if match[2] in copied.exchanged else match[2]}'"
            ),
            step.text,
        )
        return replace(step, text=everywhere(text), output="", token_ids=())

    varied = [tuple(rewritten(step) for step in path) for path in paths]
    if len({_texts(path) for path in varied}) < len({_texts(path) for path in paths}):
        return None
    return everywhere("".join([*parts, question[end:]])), varied


@dataclass(frozen=True, slots=True)
class _Copied:
    """What programs took from their question, rightly or wrongly."""

    places: dict[int, str]
    """Where the question has what is quoted from just this place."""

    exchanged: frozenset[str]
    """Quotes whose single digits change: those of the places and what was meant to be one."""

    own: frozenset[str]
    """Numbers of two digits and more that stay."""

    @classmethod
    def of(cls, question: str, programs: Sequence[str]) -> _Copied:
        """Tell copies from constants."""
        bare = [QUOTED.sub("", COUNTS.sub("", text)) for text in programs]
        places = {
            start: text
            for start, (text, _) in quoted_once(question, programs).items()
            # Another program may name what one of them quotes.
            if not any(stands_in(text, text_of_one) for text_of_one in bare)
        }
        quotes = {match[2] for text in programs for match in QUOTED.finditer(text)}
        strange = {text for text in quotes if text not in question}
        meant = {text for text in strange if _is_like_one(text, places.values())}
        # What is found in the question and stays would meet what changes.
        unsure = any(text in question and text not in places.values() for text in quotes)
        constants = {number for text in strange - meant for number in NUMBER.findall(text)}
        return cls(
            places=places,
            exchanged=frozenset({*places.values(), *(() if unsure else meant)}),
            own=frozenset(own_numbers(programs) | constants),
        )


def _is_like_one(text: str, others: Collection[str]) -> bool:
    return any(SequenceMatcher(None, text, one).ratio() >= MISCOPIED for one in others)


def _digits(question: str, rng: Random) -> dict[int, int]:
    """An exchange of the digits from 1 to the largest there is: numbers stay in their base."""
    largest = max((digit for digit in question if digit in "123456789"), default="1")
    exchanged = "".join(str(digit) for digit in range(1, int(largest) + 1))
    return str.maketrans(exchanged, "".join(rng.sample(exchanged, len(exchanged))))


def _letters(question: str, programs: Sequence[str], rng: Random) -> dict[str, str]:
    """Other names for the symbols of a question; none that a program uses for itself."""
    symbols = sorted(set(SYMBOL.findall(question)))
    if any(WORD.search(text) for text in programs):
        return {}
    theirs = {name for text in programs for name in SYMBOL.findall(text)} - set(symbols)
    free = [letter for letter in LETTERS if letter not in theirs]
    if len(free) < len(symbols):
        return {}
    return dict(zip(symbols, rng.sample(free, len(symbols)), strict=True))


def _texts(path: Path) -> tuple[str, ...]:
    return tuple(step.text for step in path)
