"""What is run: three kinds of step, and a chain of six that build on one another."""

from __future__ import annotations

from collections.abc import Sequence

STEPS = {
    "print": "print(1)",
    "numpy": "import numpy as np\nprint(np.linalg.det(np.arange(16).reshape(4, 4) + np.eye(4)))",
    "sympy": "from sympy import *\nx = symbols('x')\nprint(expand((x + 1)**3), solve(x**2 - 2))",
}
"""The first and the last are plain code, which needs no fork; numpy never is."""

CHAIN = (
    "from sympy import *\nx, y = symbols('x y')",
    "e = expand((x + y)**4)\nprint(e)",
    "f = factor(e)\nprint(f)",
    "d = diff(e, x)\nprint(d)",
    "s = solve([x + y - 3, x - y - 1], [x, y])\nprint(s)",
    "print(e.subs(s), integrate(d, x))",
)

PLAIN_PARENT = "a = 1"
FORKED_PARENT = "import os\na = 1"
"""`os` is not on the lists of plain code, so whatever follows is forked."""


def siblings(step: str, count: int) -> list[str]:
    """So many texts that do the same."""
    return [f"{step}\nb = {number}" for number in range(count)]


def chain(*, forked: bool) -> list[str]:
    """The steps of a chain; `forked` makes the first one, and so all, not plain."""
    return ["import os\n" + CHAIN[0], *CHAIN[1:]] if forked else list(CHAIN)


def program(path: Sequence[str], step: str) -> str:
    """The text of a process that does what a step on its path does."""
    return "\n".join([*path, step])
