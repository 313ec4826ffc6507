"""What is run: three kinds of step, and a chain of six that build on one another.

Every text has a number in it and no number comes twice, in whichever subject or turn: interpreters
outlive requests, and sympy's cache would answer for sympy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import ClassVar

Text = Callable[[int], str]


def _print(number: int) -> str:
    return f"print({number})"


def _numpy(number: int) -> str:
    matrix = f"np.arange(16).reshape(4, 4) + {number} * np.eye(4)"
    return f"import numpy as np\nprint(np.linalg.det({matrix}))"


def _sympy(number: int) -> str:
    return (
        "from sympy import *\nx, y = symbols('x y')\n"
        f"print(solve([x**2 + y**2 - {25 + number}, x - y - {1 + number % 7}], [x, y]))\n"
        f"print(simplify(integrate((x + {number})*exp(x), (x, 0, 1))))"
    )


STEPS: dict[str, Text] = {"print": _print, "numpy": _numpy, "sympy": _sympy}
"""The first and the last are plain code, which needs no fork; numpy never is."""

PLAIN_PARENT = "a = 1"
FORKED_PARENT = "import os\na = 1"
"""`os` is not on the lists of plain code, so whatever follows is forked."""


class Numbers:
    """Numbers that nobody in this process was given before."""

    _numbers: ClassVar = itertools.count(1)

    def siblings(self, step: Text, count: int) -> list[str]:
        """So many texts of a step, all new."""
        return [step(next(self._numbers)) for _ in range(count)]

    def chain(self, *, forked: bool) -> list[str]:
        """The steps of a new chain; `forked` makes the first one, and so all, not plain."""
        number = next(self._numbers)
        steps = [
            "from sympy import *\nx, y = symbols('x y')",
            f"e = expand((x + {number}*y)**4)\nprint(e)",
            "f = factor(e)\nprint(f)",
            "d = diff(e, x)\nprint(d)",
            f"s = solve([x + y - {number + 2}, x - y - 1], [x, y])\nprint(s)",
            "print(e.subs(s), integrate(d, x))",
        ]
        return ["import os\n" + steps[0], *steps[1:]] if forked else steps


def program(path: Sequence[str], step: str) -> str:
    """The text of a process that does what a step on its path does."""
    return "\n".join([*path, step])
