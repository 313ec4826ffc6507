"""What names stand for in LaTeX: functions, letters of other alphabets, accents over letters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec,
    "csc": sympy.csc, "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan,
    "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh, "ln": sympy.log, "exp": sympy.exp,
    "lg": lambda x: sympy.log(x) / sympy.log(10),
}  # fmt: skip
INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_GREEK_NAMES = """
    theta alpha beta gamma delta epsilon varepsilon zeta eta iota kappa lambda mu nu xi rho sigma
    tau phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega mho ell
"""
GREEK = frozenset(_GREEK_NAMES.split())
ACCENTS = frozenset({"overline", "bar", "vec", "hat", "tilde", "overrightarrow", "mathbf"})
