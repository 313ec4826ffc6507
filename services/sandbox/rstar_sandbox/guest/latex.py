"""Whether two pieces of LaTeX mean the same, by math-verify.

Untrusted work: it parses what a model wrote, so it runs in a child of its own, under limits and a
clock, and only this function's return reaches the channel that carries the verdict. Equality is
strict where math-verify is lenient: exact numbers must be exactly equal; a decimal stands for an
approximation only in the reference, and only if it has some digits. Whatever cannot be decided is
undecided, never unequal.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from functools import cache
from typing import Any

import sympy

from rstar_sandbox.guest.notation import refuse, tidy

EQUAL, UNEQUAL, UNDECIDED = "equal", "unequal", "undecided"

Decision = tuple[str, str]

APPROXIMATION_DIGITS = 3
"""A reference with at least so many decimals may be an approximation."""

PRECISION = 40
"""Significant digits to which exact numbers are compared when algebra does not settle it."""

_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mbox)\s*\{([^{}]*)\}")
_PLAIN_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]+")
_DECIMAL = re.compile(r"-?\d*\.(\d+)")
_SPACES = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")
"""Those that separate nothing."""


def judge(answer: str, reference: str) -> Decision:
    """The verdict and why."""
    answer, reference = tidy(answer), tidy(reference)
    if _SPACES.sub("", answer) == _SPACES.sub("", reference):
        return EQUAL, "the same text"
    for name, text in (("reference", reference), ("answer", answer)):
        if complaint := refuse(text):
            return UNDECIDED, f"the {name} {complaint}"
    if decision := _words(answer, reference):
        return decision
    if decision := _repeating_lists(answer, reference):
        return decision
    theirs, ours = _parse(reference), _parse(answer)
    if theirs is None:
        return UNDECIDED, "the reference cannot be read"
    if ours is None:
        return UNDECIDED, "the answer cannot be read"
    return _compare(ours, theirs, answer, reference)


def _words(answer: str, reference: str) -> Decision | None:
    """Plain words are compared as text, whatever they are wrapped in."""
    theirs = _unwrap(reference)
    if reference != theirs and _PLAIN_WORDS.fullmatch(theirs):
        same = _unwrap(answer).casefold() == theirs.casefold()
        if same:
            return EQUAL, "the same words"
        if _PLAIN_WORDS.fullmatch(_unwrap(answer)):
            return UNEQUAL, "other words"
    return None


def _repeating_lists(answer: str, reference: str) -> Decision | None:
    """Lists that name a value twice: a set would forget it. Others are left to the parser."""
    items = [_items(text) for text in (answer, reference)]
    if all(len(set(parts)) == len(parts) for parts in items):
        return None
    ours, theirs = ([_parse(part) for part in parts] for parts in items)
    if None in ours or None in theirs:
        return UNDECIDED, "a list with repeated values cannot be read"
    same = Counter(map(sympy.srepr, ours)) == Counter(map(sympy.srepr, theirs))
    return (EQUAL, "the same list") if same else (UNEQUAL, "another list")


def _items(text: str) -> list[str]:
    """Of a list without brackets around it."""
    items, nesting, start = [], 0, 0
    for index, character in enumerate(text):
        nesting += (character in "([{") - (character in ")]}")
        if character == "," and not nesting:
            items.append(text[start:index].strip())
            start = index + 1
    return [*items, text[start:].strip()]


def _unwrap(text: str) -> str:
    return " ".join(_WORDS.sub(r" \1 ", text).replace("~", " ").split()).strip(".'\" ")


@cache
def _configuration() -> tuple[Any, ...]:
    from math_verify import LatexExtractionConfig

    logging.disable(logging.CRITICAL)
    return (LatexExtractionConfig(),)


def _parse(text: str) -> Any:
    from math_verify import parse

    found = parse(
        f"${text}$",
        extraction_config=_configuration(),
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
        raise_on_error=True,
    )
    return found[0] if found and not isinstance(found[0], str) else None


def _compare(ours: Any, theirs: Any, answer: str, reference: str) -> Decision:
    from math_verify import verify

    ours_number, theirs_number = _number(ours), _number(theirs)
    if ours_number is not None and theirs_number is not None:
        return _compare_numbers(ours_number, theirs_number, answer, reference)
    equal = verify(
        theirs,
        ours,
        strict=True,
        allow_set_relation_comp=True,
        timeout_seconds=None,
        raise_on_error=True,
    )
    return (EQUAL, "the same meaning") if equal else (UNEQUAL, "another meaning")


def _number(value: Any) -> Any:
    """A number with its decimals made exact; None for anything else."""
    if isinstance(value, sympy.Equality) and isinstance(value.lhs, sympy.Symbol):
        value = value.rhs
    if not isinstance(value, sympy.Expr) or value.free_symbols or not value.is_number:
        return None
    exact = {number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)}
    return value.xreplace(exact)


def _compare_numbers(ours: Any, theirs: Any, answer: str, reference: str) -> Decision:
    difference = ours - theirs
    if difference == 0 or _is_zero(difference):
        return EQUAL, "the same number"
    found = _DECIMAL.fullmatch(reference.replace(" ", ""))
    if found and len(found[1]) >= APPROXIMATION_DIGITS and not _DECIMAL.fullmatch(answer):
        half_unit = sympy.Rational(1, 2 * 10 ** len(found[1]))
        if not ours.is_Integer and abs(difference).evalf(PRECISION) <= half_unit:
            return EQUAL, "the reference is its decimal approximation"
    return UNEQUAL, "another number"


def _is_zero(difference: Any) -> bool:
    if difference.is_Rational:
        return bool(difference == 0)
    value = difference.evalf(PRECISION, maxn=400)
    if abs(value) > sympy.Float(10) ** -(PRECISION // 2):
        return False
    return bool(sympy.simplify(difference) == 0) or difference.equals(0) is True
