"""Whether two expressions have the same value, without trusting any simplifier.

Fractions are compared exactly. Everything else is worked out to more digits than the texts have
characters: no number can agree with another by chance, or by design, to more digits than it takes
to write it down. Expressions with letters are worked out at places derived from both texts.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any

import sympy
from sympy.core.evalf import PrecisionExhausted

from rstar_sandbox.guest.bounded import SOME_LOG
from rstar_sandbox.guest.verdicts import EQUAL, UNDECIDED, UNEQUAL, Decision

DIGITS = 700
"""More than the characters that `notation` lets pass; powers add what they are worth."""

MOST_DIGITS = 40_000
"""Where more would be needed the verdict is undecided."""

BASE_BITS = 4
"""Of the base of a power that is no fraction, at least: places are below 16."""

_EXPONENTIAL = (sympy.exp, sympy.sinh, sympy.cosh, sympy.tanh)
"""Functions whose values may be as large, or as near to others, as those of powers."""

QUICK_DIGITS = 30
"""Enough to tell most different values apart."""

PLACES = 4

MOST_WHOLE = 12
"""Whole numbers tried are below it: exponents of exponents grow fast."""


def same_value(ours: Any, theirs: Any) -> Decision:
    """The verdict on two expressions."""
    if ours == theirs:
        return EQUAL, "the same expression"
    if ours.is_Rational and theirs.is_Rational:
        return UNEQUAL, "another number"
    if _boundless(ours) or _boundless(theirs):
        return UNEQUAL, "one of them is infinite"
    letters = sorted(ours.free_symbols | theirs.free_symbols, key=str)
    if ours.atoms(sympy.core.function.AppliedUndef) or theirs.atoms(
        sympy.core.function.AppliedUndef
    ):
        same = sympy.expand(ours - theirs) == 0
        return (EQUAL, "the same expression") if same else (UNDECIDED, "it has an unknown function")
    if not letters:
        return _verdict(_agree(ours, theirs), "number")
    seed = hashlib.sha256(f"{ours}|{theirs}".encode()).digest()
    decision = _everywhere(ours, theirs, letters, Random(seed))
    if decision[0] == UNEQUAL and SOME_LOG in letters:
        return UNDECIDED, "a logarithm has no base"
    return decision


def same_equation(ours_zero: Any, theirs_zero: Any) -> Decision:
    """The verdict on two expressions said to be zero: the same up to a factor that is a number."""
    if ours_zero == 0 or theirs_zero == 0:
        return UNDECIDED, "an equation that says nothing"
    letters = ours_zero.free_symbols
    if letters != theirs_zero.free_symbols:
        return UNEQUAL, "an equation in other letters"
    # Then their ratio does not depend on the place.
    ordered = sorted(letters, key=str)
    factors = [
        (ours_zero / theirs_zero).subs(
            {letter: sympy.Rational(7 * k + 3 * n + 2, 5 + n) for n, letter in enumerate(ordered)}
        )
        for k in (1, 2)
    ]
    if any(factor.has(sympy.nan, sympy.zoo, sympy.oo) or factor == 0 for factor in factors):
        return UNDECIDED, "the equations cannot be compared"
    if same_value(factors[0], factors[1])[0] == UNEQUAL:
        polynomial = ours_zero.is_polynomial(*letters) and theirs_zero.is_polynomial(*letters)
        return (UNEQUAL if polynomial else UNDECIDED), "another equation"
    return same_value(ours_zero, factors[0] * theirs_zero)


def _everywhere(ours: Any, theirs: Any, letters: list[Any], rng: Random) -> Decision:
    positive = [_agree_at(ours, theirs, letters, rng, low=0) for _ in range(PLACES)]
    known = [agree for agree in positive if agree is not None]
    if len(known) < PLACES // 2:
        return UNDECIDED, "it cannot be worked out"
    if not all(known):
        whole = [_agree_at(ours, theirs, letters, rng, low=1, whole=True) for _ in range(PLACES)]
        if all(whole):
            return UNDECIDED, "equal for whole numbers only"
        return UNEQUAL, "another value"
    negative = [_agree_at(ours, theirs, letters, rng, low=-9) for _ in range(PLACES)]
    if False in negative:
        return UNDECIDED, "equal for positive values only"
    return EQUAL, "the same value"


def _agree_at(
    ours: Any, theirs: Any, letters: list[Any], rng: Random, *, low: int, whole: bool = False
) -> bool | None:
    """Whether they agree at a place drawn at random; None where either has no value."""
    place = {}
    for letter in letters:
        if whole:
            place[letter] = sympy.Integer(rng.randrange(low, MOST_WHOLE))
        else:
            below = rng.randrange(10**9, 10**10)
            place[letter] = sympy.Rational(rng.randrange(low * below, 9 * below) or 1, below)
    try:
        return _agree(ours, theirs, place)
    except (TypeError, ValueError, ArithmeticError, PrecisionExhausted):
        return None


def _agree(ours: Any, theirs: Any, place: dict[Any, Any] | None = None) -> bool | None:
    fine = _digits(ours, theirs, place)
    if fine > MOST_DIGITS:
        return None
    for digits in (QUICK_DIGITS, fine):
        # At a place, rather than with its fractions put in: their powers would be huge.
        values = [
            sympy.N(value, digits + 10, subs=place, maxn=2 * fine) for value in (ours, theirs)
        ]
        if any(not value.is_Number and not _is_complex(value) for value in values):
            return None
        if any(_boundless(value) for value in values):
            return None
        size = max(1, *(abs(value) for value in values))
        if abs(values[0] - values[1]) > size * sympy.Float(10, digits) ** -digits:
            return False
    return True


def _digits(ours: Any, theirs: Any, place: dict[Any, Any] | None) -> int:
    """To how many digits two different values may agree: all that went into them."""
    total = DIGITS
    for value in (ours, theirs):
        for number in value.atoms(sympy.Rational):
            total += (number.p.bit_length() + number.q.bit_length()) // 3
        # The inner ones first: an outer one is worked out only if they are of a size for that.
        for grown in sorted(value.atoms(sympy.Pow, *_EXPONENTIAL), key=sympy.count_ops):
            total += _grown_digits(grown, place)
            if total > MOST_DIGITS:
                return total
    return total


def _grown_digits(value: Any, place: dict[Any, Any] | None) -> int:
    """By how many digits a power is longer or shorter than its base and exponent."""
    if isinstance(value, sympy.Pow | sympy.exp):
        base, exponent = value.as_base_exp()
    else:
        base, exponent = sympy.E, 2 * value.args[0]
    size = _size(base, place)
    if exponent.is_Rational:
        return abs(int(exponent)) * size // 3
    exponent = abs(sympy.N(exponent, 5, subs=place))
    if not (exponent.is_Float or exponent == 0) or exponent > MOST_DIGITS:
        return MOST_DIGITS + 1
    return int(exponent) * size // 3


def _size(base: Any, place: dict[Any, Any] | None) -> int:
    """Of the base of a power, in bits."""
    if base.is_Rational:
        return int(max(base.p.bit_length(), base.q.bit_length()))
    if base.is_Symbol or base == sympy.E:
        return BASE_BITS
    found = abs(sympy.N(base, 5, subs=place))
    if not found.is_Float or found == 0:
        return MOST_DIGITS
    return max(BASE_BITS, int(abs(sympy.log(found)) * 3 / 2) + 1)


def _is_complex(value: Any) -> bool:
    return all(part.is_Number for part in value.as_real_imag())


def _boundless(value: Any) -> bool:
    return bool(value.has(sympy.oo, -sympy.oo, sympy.zoo, sympy.nan))


def _verdict(agree: bool | None, what: str) -> Decision:
    if agree is None:
        return UNDECIDED, f"the {what} cannot be worked out"
    return (EQUAL, f"the same {what}") if agree else (UNEQUAL, f"another {what}")
