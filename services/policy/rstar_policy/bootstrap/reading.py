"""Reads a question's spans as definitions, equations and values: what set-up code must say.

Invariant: every decision follows from the shapes of spans, the symbols in them and the number of
words between them. A symbol on its own with one word before the next span names it (`i … o(7)`);
with more words between, some unknown operation stands there, and the proposer draws one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from rstar_policy.bootstrap.menu import Value
from rstar_policy.bootstrap.spans import Shape, Span, sentences
from rstar_policy.bootstrap.values import SYMBOL, Binding, free_symbols, name_values

RESULT_NAMES = ("R", "T", "U")
"""Names for the results of operations."""

APPLICATION = re.compile(r"([a-z])\(([a-z])\)")
POWER_OR_CALL = re.compile(r"\*\*|[a-z]\(")


class Form(StrEnum):
    """The form of one set-up statement."""

    ASSIGN = "assign"
    FUNCTION = "function"
    SOLVE = "solve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One thing to set up."""

    form: Form
    names: tuple[str, ...]
    """What it defines; for SOLVE the unknowns."""
    texts: tuple[str, ...]
    """The mathematics it copies from the question."""
    parameter: str = ""
    derived: bool = False
    """True if an operation of unknown nature stands between the name and the mathematics."""
    many: bool = False
    """For SOLVE: more than one solution is possible, so the name may become a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A question, read."""

    clauses: tuple[tuple[Statement, ...], ...]
    bindings: tuple[Binding, ...]
    """Unnamed values, to be given names."""
    values: tuple[Value, ...]
    """All values a program may use, the bindings' among them."""
    pair: Binding | None
    """The same numbers as a list of texts, if the values are several plain numbers."""
    decimals: bool
    """Whether the question writes any number with a point."""
    results: tuple[str, ...]
    """Names for results, none of them a symbol of the question."""


def read_question(question: str) -> Reading:
    """Reads a question; a pure function of it."""
    return _Reader(question=question).read()


@dataclass(slots=True)
class _Reader:
    """Collects statements and values while walking through a question's sentences."""

    question: str
    bound: dict[str, str] = field(default_factory=dict)
    """Name to `num`, `list` or `function`."""
    clauses: list[tuple[Statement, ...]] = field(default_factory=list)
    loose: list[Span] = field(default_factory=list)

    def read(self) -> Reading:
        parts, choices = sentences(self.question)
        *before, query = parts or [[]]
        for spans in before:
            self._define(spans)
        self.loose.extend(query)
        if choices:
            self.loose.append(choices)
        bindings, values, pair = name_values(self.question, self.loose, self.bound)
        taken = set(SYMBOL.findall(self.question))
        return Reading(
            clauses=tuple(self.clauses),
            bindings=tuple(bindings),
            values=tuple(values),
            pair=pair,
            decimals=bool(re.search(r"\d\.\d", self.question)),
            results=tuple(name for name in RESULT_NAMES if name not in taken) or ("R1",),
        )

    def _define(self, spans: list[Span]) -> None:
        """Turns one sentence into statements; what defines nothing is kept as a loose value."""
        statements: list[Statement] = []
        equations: list[Span] = []
        named: Span | None = None
        for span in spans:
            if span.shape is Shape.EQUATION:
                statement = self._definition(span.text)
                if statement:
                    statements.append(statement)
                else:
                    equations.append(span)
            elif span.shape is not Shape.SCALAR:
                self.loose.append(span)
            elif named is not None:
                statements.append(self._assign(named.text, span.text, derived=span.gap > 1))
                named = None
            elif self._is_fresh_name(span.text):
                named = span
            else:
                self.loose.append(span)
        solved = self._solve([span.text for span in equations]) if equations else None
        if solved:
            statements.append(solved)
        else:
            self.loose.extend(equations)
            if named is not None:
                self.loose.append(named)
        if statements:
            self.clauses.append(tuple(statements))

    def _is_fresh_name(self, text: str) -> bool:
        application = APPLICATION.fullmatch(text)
        name = application.group(1) if application else text
        return len(name) == 1 and name.isalpha() and name not in self.bound

    def _definition(self, text: str) -> Statement | None:
        """`f(x) = …` of a new f, or `a = …` of a new a whose right side is all known."""
        left, _, right = text.partition(" = ")
        if not self._is_fresh_name(left):
            return None
        if not APPLICATION.fullmatch(left) and free_symbols(right, self.bound):
            return None
        return self._assign(left, right, derived=False)

    def _assign(self, left: str, right: str, *, derived: bool) -> Statement:
        application = APPLICATION.fullmatch(left)
        name, parameter = application.groups() if application else (left, "")
        self.bound[name] = "function" if application else "num"
        return Statement(
            form=Form.FUNCTION if application else Form.ASSIGN,
            names=(name,),
            texts=(right,),
            parameter=parameter,
            derived=derived,
        )

    def _solve(self, equations: list[str]) -> Statement | None:
        unknowns = free_symbols(" ".join(equations), self.bound)
        if not unknowns:
            return None
        many = len(unknowns) == 1 and bool(POWER_OR_CALL.search(" ".join(equations)))
        self.bound.update(dict.fromkeys(unknowns, "list" if many else "num"))
        return Statement(form=Form.SOLVE, names=tuple(unknowns), texts=tuple(equations), many=many)
