"""What is in scope after a path of steps, read from the texts alone: nothing is remembered."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rstar_policy.bootstrap.menu import Menu, Value
from rstar_policy.bootstrap.reading import Reading

COMMENT = re.compile(r"# Step \d+: (\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The values at hand, and the results of the operations applied so far."""

    values: tuple[Value, ...]
    results: tuple[Value, ...]
    named: bool
    """Whether the question's loose values have names yet."""


def scope_of(reading: Reading, path: Sequence[str], menu: Menu) -> Scope:
    """Reads the assignments of the path's steps."""
    single, whole = _assigned(path)
    as_texts = reading.pair is not None and reading.pair.code in whole.values()
    if as_texts and reading.pair:
        loose = {binding.value.code for binding in reading.bindings}
        kept = [value for value in reading.values if value.code not in loose]
        values = [reading.pair.value, *(replace(value, explicit=False) for value in kept)]
    else:
        values = [
            replace(value, type="num") if value.type == "list" and value.code in single else value
            for value in reading.values
        ]
    results: list[Value] = []
    for step in path:
        name = next((r for r in reading.results if f"\n{r} = " in step), None)
        comment = COMMENT.match(step)
        operation = menu.named(comment.group(1)) if comment else None
        if name:
            kind = operation.gives if operation else "num"
            results.append(Value(code=name, type=kind, origin=100 + len(results)))
    names = {binding.value.code for binding in reading.bindings}
    return Scope(
        values=tuple(values), results=tuple(results), named=as_texts or names <= whole.keys()
    )


def _assigned(path: Sequence[str]) -> tuple[set[str], dict[str, str]]:
    """Names unpacked from a single solution, and names assigned whole with their code."""
    single: set[str] = set()
    whole: dict[str, str] = {}
    for step in path:
        try:
            body = ast.parse(step).body
        except SyntaxError:
            continue  # a foreign step that does not parse defines nothing
        for node in body:
            if not isinstance(node, ast.Assign):
                continue
            target = node.targets[0]
            if isinstance(target, ast.Name):
                whole[target.id] = ast.unparse(node.value)
            elif isinstance(target, ast.Tuple):
                single |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
    return single, whole
