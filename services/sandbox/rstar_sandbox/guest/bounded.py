"""Operations whose results must not grow beyond what a judge can work with."""

from __future__ import annotations

from typing import Any

import sympy

MAX_BITS = 200_000
"""Of a power that is worked out."""

MAX_FACTORIAL = 3000

SOME_LOG = sympy.Symbol("log of the base", positive=True)
"""Stands for the base of a logarithm that is written without one. Nobody can type its name."""


class Unreadable(Exception):
    """The text is not of the judge's grammar, has two readings, or is too large a number."""


def power(base: Any, exponent: Any) -> Any:
    """Base to the exponent.

    Raises:
        Unreadable: it would be a number of too many digits.
    """
    if not (base.is_number and exponent.is_number):
        return base**exponent
    if not (base.is_Integer and exponent.is_Rational):
        size = abs(sympy.N(exponent, 5)) * max(1, abs(sympy.log(abs(base) + 2).evalf(5)))
        if not size.is_comparable or size > MAX_BITS:
            raise Unreadable("a power that is too large")
    elif abs(exponent) * max(1, int(base).bit_length()) > MAX_BITS:
        raise Unreadable("a power that is too large")
    return base**exponent


def factorial(value: Any) -> Any:
    """Of a number that is small, or of anything with a letter in it.

    Raises:
        Unreadable: it would be a number of too many digits.
    """
    if value.is_number and not (value.is_Integer and 0 <= value <= MAX_FACTORIAL):
        raise Unreadable("a factorial that is too large")
    return sympy.factorial(value)


def binomial(above: Any, below: Any) -> Any:
    """Of numbers that are small, or of anything with a letter in it.

    Raises:
        Unreadable: it would be a number of too many digits.
    """
    if above.is_number and not (above.is_Integer and abs(above) <= MAX_FACTORIAL):
        raise Unreadable("a binomial that is too large")
    return sympy.binomial(above, below)
