"""Run plain code in a parked interpreter and leave no trace of it.

`Guard` sees to it that no text becomes code unseen. `Undo` remembers all that plain code
can change: names, the parent's containers, generators of random numbers, decimal's flags.
What stays is what the libraries cache of their own results, and memory.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import random
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rstar_sandbox.guest.plain import Screen

_ATOMS = (
    int, float, complex, bool, str, bytes, type(None), range, types.ModuleType,
    fractions.Fraction, decimal.Decimal, datetime.date, datetime.timedelta,
)  # fmt: skip
_CONTAINERS = (list, dict, Counter)
"""That look the same once they are filled again. A set does not: its order depends on its past."""

_HARMLESS_EVENTS = {
    "import", "open", "marshal.loads", "os.listdir", "os.scandir", "builtins.id",
    "sys._getframe", "object.__getattr__", "object.__setattr__", "object.__delattr__",
}  # fmt: skip
"""Of imports and lookups; plain code itself sets no attributes. Writing to a file is the kernel's
affair: it ends the process."""

Namespace = dict[str, Any]


class NotPlain(BaseException):
    """Not known to be harmless. Says nothing about whether it is harmful."""


class Guard:
    """Notices what the lists of plain code cannot see: text that becomes code.

    Sympy's parser evaluates texts, which are held against the lists first. All else that would
    compile, or reach out of the interpreter, raises an audit event, and those are refused unless
    known to be harmless.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._parser: Any = sys.modules["sympy.parsing.sympy_parser"]
        self._parse: Callable[..., Any] = self._parser.parse_expr
        self._watched = ""
        self._refuse = False
        self._reading = False
        self.breached = False
        """Something was not plain. Stays set even where the refusal was caught."""

        sys.addaudithook(self._audit)

    @contextmanager
    def watching(self, name: str, *, refuse: bool) -> Iterator[None]:
        """Watch the step of this name; `refuse` what is not plain, or only take note."""
        self.breached, self._refuse, self._watched = False, refuse, name
        self._parser.parse_expr = self._read
        try:
            yield
        finally:
            self._watched = ""
            self._parser.parse_expr = self._parse

    def _read(self, text: Any, *arguments: Any, **options: Any) -> Any:
        if not (type(text) is str and self._screen.reads(text)):
            self._breach()
        before, self._reading = self._reading, True
        try:
            return self._parse(text, *arguments, **options)
        finally:
            self._reading = before

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watched or event in _HARMLESS_EVENTS:
            return
        if event in ("compile", "exec"):
            file = arguments[1] if event == "compile" else arguments[0].co_filename
            imported = isinstance(file, str) and not file.startswith("<")
            if self._reading or imported or file == self._watched:
                return
        self._breach()

    def _breach(self) -> None:
        self.breached = True
        if self._refuse:
            raise NotPlain


class Undo:
    """What must be put back after plain code ran in `namespace`.

    Raises:
        NotPlain: a value there could be changed and not be put back.
    """

    def __init__(self, namespace: Namespace, screen: Screen) -> None:
        self._namespace = namespace
        self._names = dict(namespace)
        self._screen = screen
        self._basic = sys.modules["sympy"].Basic
        self._seen: set[int] = set()
        self._contents: list[tuple[Any, Any]] = []
        for name, value in namespace.items():
            if id(value) not in screen.library_values and not name.startswith("__"):
                self._remember(value)
        self._generators = [
            (generator, generator.getstate())
            for generator in (
                random,
                sys.modules["sympy.core.random"].rng,
                sys.modules["sympy.core.random"]._assumptions_rng,
            )
        ]
        self._factors: Any = sys.modules["sympy.ntheory.factor_"].factor_cache._cache
        self._factors_before = dict(self._factors)
        self._dummy = sys.modules["sympy.core.symbol"].Dummy
        self._dummies: int = self._dummy._count
        self._arithmetic = decimal.getcontext().copy()

    def __call__(self) -> None:
        """Put it back."""
        for container, content in self._contents:
            container.clear()
            (container.extend if type(container) is list else container.update)(content)
        self._namespace.clear()
        self._namespace.update(self._names)
        for generator, state in self._generators:
            generator.setstate(state)
        self._factors.clear()
        self._factors.update(self._factors_before)
        self._dummy._count = self._dummies
        decimal.setcontext(self._arithmetic)

    def _remember(self, value: Any) -> None:
        if isinstance(value, _ATOMS) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        kind = type(value)
        if isinstance(value, self._basic):
            parts = list(value.args)
        elif kind in (tuple, frozenset):
            parts = list(value)
        elif kind in _CONTAINERS:
            self._contents.append((value, value.copy()))
            parts = [*value, *(value.values() if isinstance(value, dict) else ())]
        elif kind is types.FunctionType:
            parts = self._held_by(value)
        elif id(value) in self._screen.library_values or _is_stateless_builtin(value):
            return
        else:
            raise NotPlain
        for part in parts:
            self._remember(part)

    def _held_by(self, function: types.FunctionType) -> list[Any]:
        if function.__globals__ is not self._namespace:
            return []
        try:
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
        except ValueError:  # a name that was never bound
            raise NotPlain from None
        return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *cells]


def _is_stateless_builtin(value: Any) -> bool:
    return isinstance(value, types.BuiltinFunctionType) and isinstance(
        value.__self__, types.ModuleType
    )


def libraries(namespace: Namespace) -> dict[str, str]:
    """The names that are bound to modules."""
    return {
        name: value.__name__
        for name, value in namespace.items()
        if isinstance(value, types.ModuleType)
    }
