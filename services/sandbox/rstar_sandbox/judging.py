"""Answer equivalence that needs no algebra: text normalised and compared, numbers as fractions.

Pure and total. Nothing here parses mathematics or evaluates anything; patterns are linear and
sizes bounded, so hostile text costs microseconds. What these rules cannot decide is left to
`latex` inside the sandbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from rstar_sandbox.guest import units
from rstar_sandbox.guest.notation import same_list


class AnswerKind(StrEnum):
    """How two answers are compared."""

    EXACT = "exact"
    NUMBER = "number"
    CHOICE = "choice"
    TEXT = "text"
    LATEX = "latex"


class Verdict(StrEnum):
    """Undecided is never counted as wrong, nor as right."""

    EQUAL = "equal"
    UNEQUAL = "unequal"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the reason for it, for people."""

    verdict: Verdict
    reason: str


MAX_CHARACTERS = 4096
"""Of an answer or reference that is to be understood. No real one comes near."""

MAX_EXACT_CHARACTERS = 2**14
"""Longer text is compared as it stands."""

APPROXIMATION_DIGITS = 3
"""A reference with at least so many decimals may be an approximation of the answer."""

_MINUS_SIGNS = str.maketrans({"\u2212": "-", "\ufe63": "-", "\uff0d": "-", "\u00a0": " "})
_AROUND_OPERATORS = re.compile(r" ?([,;:+\-*/=^<>()\[\]{}|]) ?")
_TRUTH = re.compile(r"\b(true|false)\b", re.IGNORECASE)

_DIGITS = r"(?:[1-9]\d{0,2}(?:,\d{3}){1,150}|\d{1,500})"
_DECIMAL = re.compile(
    rf"([+-]?)({_DIGITS})?(?:\.(\d{{0,500}}))?(?:[eE]([+-]?\d{{1,3}}))?", re.ASCII
)
_RATIO = re.compile(rf"([+-]?{_DIGITS})/([+-]?{_DIGITS})", re.ASCII)
_LATEX_RATIO = re.compile(
    rf"([+-]?)\\[dt]?frac\{{([+-]?{_DIGITS})\}}\{{([+-]?{_DIGITS})\}}", re.ASCII
)
_AROUND_SIGNS = re.compile(r" ?([-+/]) ?")
_CHOICE = re.compile(r"\(?([A-Za-z])[).:]{0,2}")
_WRAPPERS = re.compile(r"(?:\\text|\\textbf|\\mathrm|\\boxed|\\mbox)\{([^{}]*)\}")


def decide(answer: str, reference: str, kind: AnswerKind) -> Judgement | None:
    """Judge without algebra; None when only the sandbox can tell."""
    if kind is AnswerKind.EXACT and max(len(answer), len(reference)) > MAX_EXACT_CHARACTERS:
        return _compare(answer, reference, "the long text")
    if kind is AnswerKind.EXACT:
        return _compare(_exact(answer), _exact(reference), "the text")
    if len(answer) > MAX_CHARACTERS or len(reference) > MAX_CHARACTERS:
        return Judgement(Verdict.UNDECIDED, f"longer than {MAX_CHARACTERS} characters")
    if not reference.strip():
        return Judgement(Verdict.UNDECIDED, "the reference is empty")
    if not answer.strip():
        return Judgement(Verdict.UNEQUAL, "the answer is empty")
    match kind:
        case AnswerKind.NUMBER:
            return _numbers(answer, reference)
        case AnswerKind.CHOICE:
            return _choices(answer, reference)
        case AnswerKind.TEXT:
            return _compare(_plain(answer), _plain(reference), "the text, in any case")
        case _:
            if number(answer) is not None and number(reference) is not None:
                return _numbers(answer, reference)
            same = _exact(answer) == _exact(reference)
            return Judgement(Verdict.EQUAL, "the same text") if same else None


def _compare(answer: str, reference: str, what: str) -> Judgement:
    if answer == reference:
        return Judgement(Verdict.EQUAL, f"{what} is the same")
    return Judgement(Verdict.UNEQUAL, f"{what} differs")


def _exact(text: str) -> str:
    """Spaces, signs and the case of truth values: nothing mathematical."""
    text = " ".join(text.translate(_MINUS_SIGNS).split())
    text = _AROUND_OPERATORS.sub(r"\1", text)
    return _TRUTH.sub(lambda found: found[0].lower(), text)


def _plain(text: str) -> str:
    text = text.strip().strip("$").translate(_MINUS_SIGNS)
    text = _WRAPPERS.sub(r"\1", text)
    return " ".join(text.split()).strip("\"'.").casefold()


def _choices(answer: str, reference: str) -> Judgement | None:
    ours, theirs = (_choice(text) for text in (answer, reference))
    if ours and theirs:
        return _compare(ours, theirs, "the letter")
    if _plain(answer) == _plain(reference):
        return Judgement(Verdict.EQUAL, "the same text")
    return Judgement(Verdict.UNDECIDED, "not one letter of a choice")


def _choice(text: str) -> str:
    found = _CHOICE.fullmatch(_plain(text).rstrip("."))
    return found[1].lower() if found else ""


def _numbers(answer: str, reference: str) -> Judgement | None:
    # Long runs of spaces would cost the patterns of units the square of their length.
    answer, reference = (" ".join(text.split()) for text in (answer, reference))
    ours, theirs = number(answer), number(reference)
    if ours is None or theirs is None:
        measured, unit = units.split(answer.strip())
        wanted, wanted_unit = units.split(reference.strip())
        if not unit or not wanted_unit or unit == wanted_unit:
            ours, theirs = number(measured), number(wanted)
    if ours is None or theirs is None:
        same = _exact(answer) == _exact(reference)
        return Judgement(Verdict.EQUAL, "the same text") if same else None
    if ours == theirs:
        return Judgement(Verdict.EQUAL, "the same number")
    decimals = _decimals(reference)
    # Only an answer that is more precise can be what the reference approximates.
    more_precise = ours.denominator > 1 and not 0 < _decimals(answer) <= decimals
    close = abs(ours - theirs) * 2 * 10**decimals <= 1
    if decimals >= APPROXIMATION_DIGITS and more_precise and close:
        return Judgement(Verdict.EQUAL, "the reference is its decimal approximation")
    if same_list(answer, reference):
        return Judgement(Verdict.UNDECIDED, "a comma that may group digits or part numbers")
    return Judgement(Verdict.UNEQUAL, "another number")


def number(text: str) -> Fraction | None:
    """Read an integer, a decimal or a ratio of integers; None for anything else."""
    text = text.translate(_MINUS_SIGNS).replace("\\!", "").strip().strip("$").strip()
    text = _AROUND_SIGNS.sub(r"\1", text)
    text = text.removeprefix("\\$").removesuffix(".").removesuffix("\\%").removesuffix("%")
    if found := _RATIO.fullmatch(text):
        return _ratio(found[1], found[2])
    if found := _LATEX_RATIO.fullmatch(text):
        value = _ratio(found[2], found[3])
        return -value if value is not None and found[1] == "-" else value
    found = _DECIMAL.fullmatch(text)
    if not found or not (found[2] or found[3]):
        return None
    sign, whole, decimals, exponent = found.groups(default="")
    value = Fraction(_integer((whole or "0") + decimals), int("1" + "0" * len(decimals)))
    power = int("1" + "0" * abs(int(exponent or 0)))
    value = value / power if exponent.startswith("-") else value * power
    return -value if sign == "-" else value


def _ratio(numerator: str, denominator: str) -> Fraction | None:
    below = _integer(denominator)
    return Fraction(_integer(numerator), below) if below else None


def _integer(text: str) -> int:
    return int(text.replace(",", ""))


def _decimals(text: str) -> int:
    _, point, decimals = text.strip().strip("$%").rstrip(".").partition(".")
    return len(decimals) if point and decimals.isdigit() else 0
