"""Enough of PromQL to say which series an expression reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_STRING = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"\b(rstar_[a-z0-9_]+|process_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'\s*(\w+)(=~|!~|!=|=)"([^"]*)"\s*,?')
_GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric and what is asked of its labels."""

    name: str
    equal: Mapping[str, str]
    labels: frozenset[str]
    """Every label that a matcher names."""

    @property
    def family(self) -> str:
        """The metric as the service declares it."""
        for suffix in _SUFFIXES:
            if self.name.startswith("rstar_") and self.name.endswith(suffix):
                return self.name.removesuffix(suffix)
        return self.name

    def text(self) -> str:
        """A selector of the series that must exist: equalities, and labels that are there."""
        present = [f'{label}!=""' for label in sorted(self.labels - set(self.equal))]
        matchers = [f'{label}="{value}"' for label, value in self.equal.items()] + present
        return f"{self.name}{{{','.join(matchers)}}}" if matchers else self.name


def selectors(expression: str) -> Iterator[Selector]:
    """All of them, in order."""
    for name, body in _SELECTOR.findall(expression):
        matchers = _MATCHER.findall(body)
        yield Selector(
            name=name,
            equal={label: value for label, operator, value in matchers if operator == "="},
            labels=frozenset(label for label, operator, value in matchers if value),
        )


def grouped_by(expression: str) -> set[str]:
    """Labels that aggregations keep."""
    outside = _STRING.sub('""', expression)
    return {
        label.strip()
        for group in _GROUPING.findall(outside)
        for label in group.split(",")
        if label.strip() and label.strip() != "le"
    }
