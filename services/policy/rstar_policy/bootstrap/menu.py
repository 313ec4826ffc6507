"""The committed menu of operations: what a random program may apply to what is in scope."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MENU_FILE = Path(__file__).with_name("menu.toml")

KEY_OF_TEXT, KEY_OF_LABEL = "E", "{name}.get"
AT_TEXT, AT_LABEL = "E(s)", "{name}[s]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Something a program can refer to: the code that names it and its menu type."""

    code: str
    type: str
    origin: int
    """Number of the span it came from; values of one origin are never combined."""
    explicit: bool = True
    """False for what only occurs inside another value, as the symbol of an expression."""
    labelled: bool = False
    """For `coll`: a dict from label to value rather than a list of texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One menu entry."""

    name: str
    takes: tuple[str, ...]
    gives: str
    lines: tuple[str, ...]
    needs: str
    any_order: bool

    @property
    def values(self) -> tuple[str, ...]:
        """The types of the arguments that are values, small integers left out."""
        return tuple(kind for kind in self.takes if ".." not in kind)

    def constants(self) -> tuple[int, ...]:
        """The small integers its last argument may be; empty if it takes none."""
        last = self.takes[-1]
        if ".." not in last:
            return ()
        low, high = last.split("..")
        return tuple(range(int(low), int(high) + 1))

    def expression(self, arguments: tuple[Value, ...], constant: int | None) -> str:
        """Its one expression with the arguments put in."""
        return fill(self.lines[0].removeprefix("{R} = "), arguments, constant, "")

    def statements(
        self, arguments: tuple[Value, ...], constant: int | None, result: str
    ) -> list[str]:
        """Its lines, the last one assigning `result`."""
        filled = [fill(line, arguments, constant, result) for line in self.lines]
        return [self.needs, *filled] if self.needs else filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """All operations, and for each type the ways to print it."""

    operations: tuple[Operation, ...]
    prints: Mapping[str, tuple[str, ...]]

    def named(self, name: str) -> Operation | None:
        return next((one for one in self.operations if one.name == name), None)


def fill(template: str, arguments: tuple[Value, ...], constant: int | None, result: str) -> str:
    """Puts names into a template; a brace that is no slot stays (f-strings)."""

    def slot(match: re.Match[str]) -> str:
        key, _, view = match.group(1).partition(".")
        if key == "R":
            return result
        if int(key) == len(arguments):
            return str(constant)
        value = arguments[int(key)]
        if view == "key":
            return KEY_OF_LABEL.format(name=value.code) if value.labelled else KEY_OF_TEXT
        if view == "at":
            return AT_LABEL.format(name=value.code) if value.labelled else AT_TEXT
        return value.code

    return re.sub(r"\{(R|\d(?:\.(?:key|at))?)\}", slot, template)


@cache
def load_menu(path: Path = MENU_FILE) -> Menu:
    """Reads a menu file."""
    raw = tomllib.loads(path.read_text())
    operations = tuple(
        Operation(
            name=name,
            takes=tuple(entry["takes"].split()),
            gives=entry["gives"],
            lines=tuple(entry["lines"]) if "lines" in entry else ("{R} = " + entry["code"],),
            needs=entry.get("needs", ""),
            any_order=entry.get("any_order", False),
        )
        for name, entry in raw["op"].items()
    )
    prints = {kind: tuple(forms) for kind, forms in raw["print"].items()}
    return Menu(operations=operations, prints=prints)
