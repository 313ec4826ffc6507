"""Numbers as the grammar reads them: exact, with their periods, and none in a base of its own."""

from __future__ import annotations

from typing import Any

import sympy

from rstar_sandbox.guest.bounded import Unreadable
from rstar_sandbox.guest.tokens import Tokens

_PERIODS = (r"\overline", r"\bar")
_AFTER_POINT = frozenset({"", ")", "]", "}", r"\}", ",", "="})
_HIGH_BASES = frozenset({"11", "12", "13", "14", "15", "16"})
"""Those in which letters are digits."""


def numeral(tokens: Tokens) -> Any:
    """The number that follows.

    Raises:
        Unreadable: it is cut off, or its digits are of another base.
    """
    token = tokens.take()
    if tokens.next == "_" or _has_letters(tokens):
        raise Unreadable("a number in a base of its own inside an expression")
    whole, point, decimals = token.replace(",", "").partition(".")
    if whole.startswith("0") and len(whole) > 2:
        raise Unreadable("digits that a comma cut off")
    value = sympy.Rational(int(whole + decimals or "0"), 10 ** len(decimals))
    if not point:
        return value
    if period := _period(tokens):
        scale = 10 ** len(decimals) * (10 ** len(period) - 1)
        return value + sympy.Rational(int(period), scale)
    if not decimals and tokens.next not in _AFTER_POINT:
        raise Unreadable("a point with nothing behind it")
    return value


def _period(tokens: Tokens) -> str:
    """The digits that repeat; nothing, and nothing taken, if what has the bar are no digits."""
    start = tokens.mark()
    if tokens.next not in _PERIODS:
        return ""
    tokens.take()
    if tokens.has_digits:
        tokens.split_digit()
    digits = tokens.braced() if tokens.next == "{" else tokens.take()
    if digits.isdigit():
        return digits
    tokens.rewind(start)
    return ""


def _has_letters(tokens: Tokens) -> bool:
    """Whether capitals follow that a base of more than ten ends."""
    start, letters = tokens.mark(), ""
    while tokens.next and all(sign in "ABCDEFabcdef0123456789" for sign in tokens.next):
        letters += tokens.take()
    base = tokens.subscript()[1:] if letters and tokens.next == "_" else ""
    tokens.rewind(start)
    # 2a_{12} is more often twice a member of a sequence.
    return base in _HIGH_BASES and (letters.isupper() or base == "16")
