"""Odd roots are real where what stands under them is: the cube root of -8 is -2.

To a computer algebra it is another one, a complex number. As an exponent, 1/3 of a negative
number, it has both readings; of a letter it is read as the root that a root sign means.
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from rstar_sandbox.guest.bounded import Unreadable, power


def root(base: Any, degree: Any) -> Any:
    """The root that a root sign means.

    Raises:
        Unreadable: of a complex number, or of one that is too large.
    """
    if not (degree.is_Integer and degree > 1 and degree % 2):
        return power(base, 1 / degree)
    if not base.is_number:
        return _real(base, 1 / degree)
    if base.is_extended_negative:
        return -power(-base, 1 / degree)
    if not base.is_extended_nonnegative:
        raise Unreadable("an odd root of what may be no real number")
    return power(base, 1 / degree)


def to_power(base: Any, exponent: Any) -> Any:
    """Base to the exponent.

    Raises:
        Unreadable: an odd root of a negative number, or a number that is too large.
    """
    if not exponent.is_Rational or exponent.is_Integer or exponent.q % 2 == 0:
        return power(base, exponent)
    if not base.is_number:
        return _real(base, exponent)
    if not base.is_extended_nonnegative:
        raise Unreadable("an odd root of a negative number, written as a power")
    return power(base, exponent)


def _real(base: Any, exponent: Any) -> Any:
    """Of something with letters in it, which may be negative."""
    if base.has(sympy.I, AppliedUndef):
        return power(base, exponent)
    size = power(sympy.Abs(base), exponent)
    return size if exponent.p % 2 == 0 else sympy.sign(base) * size
