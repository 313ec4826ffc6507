"""A reader of one LaTeX expression: a small grammar of our own, strict where others guess.

General parsers read "1 2" as 3, A as a, f' as f and 5.10 as a float; for a judge each of these
is a false verdict. What this grammar does not know, or could read in two ways, is `Unreadable`.
Decimals are exact fractions. Nothing is ever evaluated as Python.

    sum      = ["+" | "-"] product {("+" | "-") product}
    product  = power {("*" | "/" | nothing) power}
    power    = atom {"^" atom | "!" | "'"}
    atom     = number | letter | "(" sum ")" | "|" sum "|" | command …
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy

from rstar_sandbox.guest.bounded import SOME_LOG, Unreadable, binomial, factorial
from rstar_sandbox.guest.names import ACCENTS, FUNCTIONS, GREEK, INVERSES
from rstar_sandbox.guest.numerals import numeral
from rstar_sandbox.guest.roots import root, to_power
from rstar_sandbox.guest.tokens import CLOSING, Tokens

_TIMES = frozenset({"*", r"\cdot", r"\times", r"\ast"})
_DIVIDES = frozenset({"/", r"\div"})
_ENDS = frozenset({"", "+", "-", ")", "]", "}", r"\}", ",", "=", r"\rfloor", r"\rceil", "&"})


@cache
def read(text: str) -> Any:
    """The expression.

    Raises:
        Unreadable: for whatever reason.
    """
    reader = _Reader(text)
    value = reader.sum()
    if reader.next:
        raise Unreadable(f"{reader.next!r} is out of place")
    return value


class _Reader:
    """Recursive descent; its depth is bounded by the nesting that `notation` lets pass."""

    def __init__(self, text: str) -> None:
        self._tokens = Tokens(text)
        self._bars = 0

    @property
    def next(self) -> str:
        return self._tokens.next

    def sum(self) -> Any:
        terms = [-self.product() if self._sign() else self.product()]
        while self.next in ("+", "-"):
            terms.append(-self.product() if self._sign() else self.product())
        return sympy.Add(*terms)

    def _sign(self) -> bool:
        """Whether the signs that follow make it negative; two may stand together, not more."""
        signs = ""
        while self.next in ("+", "-"):
            signs += self._tokens.take()
        if len(signs) > 2:
            raise Unreadable("too many signs")
        return signs.count("-") % 2 == 1

    def product(self) -> Any:
        value = self.raised()
        divided = False
        while not self._ends():
            if self.next in _TIMES:
                self._tokens.take()
                value = value * self._signed()
            elif self.next in _DIVIDES:
                slash = self._tokens.take() == "/"
                below = self._signed(mixed=not slash)
                if slash and self.next == r"\frac":
                    raise Unreadable("a fraction behind a slash has two readings")
                divided = not below.is_Integer
                value = value / below
            else:
                if divided or self.next[0].isdigit() or self.next[0] == ".":
                    raise Unreadable(f"{self.next!r} has two readings here")
                value = value * self.raised()
        return value

    def _ends(self) -> bool:
        return self.next in _ENDS or (self.next in ("|", r"\vert") and self._bars > 0)

    def _signed(self, *, mixed: bool = True) -> Any:
        return -self.raised(mixed=mixed) if self._sign() else self.raised(mixed=mixed)

    def raised(self, *, mixed: bool = True) -> Any:
        # Only a number that stands alone has a fraction: that of 4^2 and of \frac12 is a factor.
        value = self._mixed() if mixed and self._tokens.starts_number else self.atom()
        while self.next in ("^", "!", "'"):
            match self._tokens.take():
                case "^" if self.next in (r"\circ", r"\prime"):
                    raise Unreadable("a degree or a prime inside an expression")
                case "^":
                    value = to_power(value, self._exponent())
                case "!":
                    value = factorial(value)
                case _ if isinstance(value, sympy.Symbol):
                    value = sympy.Symbol(f"{value.name}'")
                case _:
                    raise Unreadable("a prime after what is no name")
        return value

    def _exponent(self) -> Any:
        if self.next == "-":  # TeX wants braces here; people leave them out
            self._tokens.take()
            return -self.atom()
        if "," in self.next:
            raise Unreadable("a comma after an exponent")
        return self.atom()

    def argument(self) -> Any:
        """What a command applies to: a group in braces, or a single digit or letter."""
        if self.next == "{":
            return self._group()
        if self._tokens.has_digits:
            self._tokens.split_digit()
        if self.next == "-":
            raise Unreadable("a sign where an argument should be")
        return self.atom()

    def _group(self) -> Any:
        opening = self._tokens.take()
        if opening != "{" and "," in self.next and ",0" not in self.next:
            raise Unreadable("a number, or a pair of them")
        bars, self._bars = self._bars, 0
        value = self.sum()
        self._bars = bars
        self._tokens.expect(CLOSING[opening])
        return value

    def atom(self) -> Any:
        token = self.next
        if token in ("(", "[", "{"):
            return self._group()
        if self._tokens.starts_number:
            return numeral(self._tokens)
        self._tokens.take()
        if len(token) == 1 and token.isalpha():
            return self._letter(token)
        if token in ("|", r"\vert"):
            self._bars += 1
            value = self.sum()
            self._bars -= 1
            self._tokens.expect(token)
            return sympy.Abs(value)
        if token.startswith("\\"):
            return self._command(token[1:])
        raise Unreadable(f"{token[:20]!r} is out of place" if token else "it ends too early")

    def _mixed(self) -> Any:
        """A number, with its fraction if it is a whole one that a proper fraction follows."""
        whole = "." not in self.next
        value = numeral(self._tokens)
        start = self._tokens.mark()
        if whole and self.next == r"\frac":
            self._tokens.take()
            above, below = self.argument(), self.argument()
            if above.is_Integer and below.is_Integer and 0 < above < below:
                if self.next in ("^", "!", r"\frac"):
                    raise Unreadable(f"{self.next!r} after a mixed number has two readings")
                return value + sympy.Rational(int(above), int(below))
            self._tokens.rewind(start)
        return value

    def _letter(self, letter: str) -> Any:
        if self.next == "_":
            return sympy.Symbol(letter + self._tokens.subscript())
        if letter in "fgh" and self.next == "(":
            return sympy.Function(letter)(self._group())
        return {"e": sympy.E, "i": sympy.I}.get(letter) or sympy.Symbol(letter)

    def _command(self, name: str) -> Any:
        if name in ("lfloor", "lceil"):
            self._tokens.untake()
            return (sympy.floor if name == "lfloor" else sympy.ceiling)(self._group())
        if name == "frac":
            above = self.argument()
            below = self.argument()
            return above / below
        if name == "sqrt":
            degree = self._group() if self.next == "[" else sympy.Integer(2)
            if self._tokens.has_digits:
                raise Unreadable("a root of several digits without braces")
            return root(self.argument(), degree)
        if name == "binom":
            above = self.argument()
            return binomial(above, self.argument())
        if name == "pi":
            return sympy.pi
        if name == "infty":
            return sympy.oo
        if name in GREEK:
            return sympy.Symbol(name + (self._tokens.subscript() if self.next == "_" else ""))
        if name in ACCENTS or name in ("mathrm", "text", "mathit", "textbf"):
            return self._name(name)
        if name == "log" or name in FUNCTIONS:
            return self._function(name)
        raise Unreadable(f"\\{name} is not known")

    def _name(self, kind: str) -> Any:
        text = self._tokens.braced()
        if kind not in ACCENTS:
            if len(text) != 1 or not text.isalpha():
                raise Unreadable("words inside an expression")
            return self._letter(text)
        if not text.isalnum() or text[0].isdigit():
            raise Unreadable("an accent over what is no name")
        return sympy.Symbol(f"{kind} {text}")

    def _function(self, name: str) -> Any:
        base = None
        if name == "log" and self.next == "_":
            self._tokens.take()
            base = self.argument()
        exponent = sympy.Integer(1)
        if self.next == "^":
            self._tokens.take()
            exponent = self.argument()
            if exponent == -1 and name in INVERSES:
                name, exponent = INVERSES[name], sympy.Integer(1)
        if self.next in ("(", "[", "{"):
            argument = self._group()
            if self.next in ("^", "!"):
                raise Unreadable("a power of a function's brackets has two readings")
        else:
            argument = self._bare_argument()
        if name == "log":
            value = sympy.log(argument) / (SOME_LOG if base is None else sympy.log(base))
        else:
            value = FUNCTIONS[name](argument)
        return value**exponent

    def _bare_argument(self) -> Any:
        value = self.raised()
        while not self._ends() and self.next not in (_TIMES | _DIVIDES):
            if self.next[1:] in FUNCTIONS or self.next in (r"\log", "("):
                break
            value = value * self.raised()
        return value
