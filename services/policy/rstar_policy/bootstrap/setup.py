"""Writes the set-up of a program: the definitions of a question, and names for its loose values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from rstar_policy.bootstrap.menu import Menu, Value
from rstar_policy.bootstrap.reading import Form, Reading, Statement
from rstar_policy.bootstrap.values import Binding

HEADER = (
    "from sympy import *",
    "from sympy.abc import *",
    "E = lambda s: sympify(s.replace(' = ', '-(') + ')'*s.count(' = '), globals(), rational=True)",
)
"""First lines of every program: exact mathematics, all letters as symbols, and E, which reads a
text (an equation as left side minus right side) with the names defined so far."""

MAX_GROUPS = 4
"""Definitions are grouped into at most so many steps, so a program has at most eight."""

BOTH_USED = 6.0
"""How much likelier, behind `f(x)`, is an operation that takes x than one that does not."""

ONE_SOLUTION = 0.5
"""How often an equation that may have several solutions is taken to have one."""


def groups(reading: Reading) -> list[list[Statement]]:
    """The definitions, dealt into steps as evenly as their order allows."""
    clauses = reading.clauses
    count = min(len(clauses), MAX_GROUPS)
    bounds = [round(index * len(clauses) / count) for index in range(count + 1)] if count else []
    return [
        [statement for clause in clauses[low:high] for statement in clause]
        for low, high in pairwise(bounds)
    ]


def definitions(statements: Sequence[Statement], menu: Menu, rng: Random) -> list[str]:
    """The code of one group of definitions."""
    return [_define(statement, menu, rng) for statement in statements]


def bindings(chosen: Sequence[Binding]) -> list[str]:
    """The code that names loose values, imports first."""
    needs = list(dict.fromkeys(binding.needs for binding in chosen if binding.needs))
    return needs + [f"{binding.value.code} = {binding.code}" for binding in chosen]


def _define(statement: Statement, menu: Menu, rng: Random) -> str:
    texts = [f"E({text!r})" for text in statement.texts]
    name = statement.names[0]
    if statement.form is Form.SOLVE:
        return _solve(statement, texts, rng)
    source = texts[0]
    if statement.form is Form.FUNCTION:
        if statement.derived:
            source = _derive(source, "expr", statement.parameter, menu, rng)
        return f"{name} = Lambda({statement.parameter}, {source})"
    if statement.derived:
        source = _derive(source, "num", "", menu, rng)
    return f"{name} = {source}"


def _solve(statement: Statement, texts: list[str], rng: Random) -> str:
    names = ", ".join(statement.names)
    if len(statement.names) == 1:
        comma = "" if statement.many and rng.random() >= ONE_SOLUTION else ","
        source = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        return f"{names}{comma} = solve({source}, {names})"
    return f"({names}), = linsolve([{', '.join(texts)}], {names})"


def _derive(source: str, kind: str, parameter: str, menu: Menu, rng: Random) -> str:
    """Draws the operation that stands between a name and the mathematics it is made from."""
    shapes = {(kind,): 1.0, (kind, "sym"): BOTH_USED if parameter else 0.0}
    options = [
        (one, shapes[one.values])
        for one in menu.operations
        if one.gives == kind and len(one.lines) == 1 and shapes.get(one.values)
    ]
    ((chosen, _),) = rng.choices(options, [weight for _, weight in options])
    arguments = tuple(
        Value(code=code, type=kind, origin=0) for code in (source, parameter)[: len(chosen.values)]
    )
    constants = chosen.constants()
    return chosen.expression(arguments, rng.choice(constants) if constants else None)
