"""A recipe file: TOML with the names of `rstar.v1.Recipe`, read with line numbers for its faults.

The schema is the message itself: an unknown key, a value of the wrong type or an enum that
does not exist is refused by its line. Enums are written short (`mcts`, `terminal_guided`),
durations as seconds. `[defaults.round]` is laid under every round.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from rstar.v1 import evolution_pb2
from rstar_common.errors import InvalidInput

DEFAULTS = "defaults"


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe and the text it came from."""

    path: Path
    text: str
    recipe: evolution_pb2.Recipe

    def located(self, error: InvalidInput) -> InvalidInput:
        """The same error, naming file and line of its field."""
        if not error.field or error.field.startswith(str(self.path)):
            return error
        message = str(error).removeprefix(f"{error.field}: ")
        line = line_of(self.text, error.field)
        where = f"{self.path}:{line}: {error.field}" if line else f"{self.path}: {error.field}"
        return InvalidInput(message, field=where)


def read_recipe(path: Path) -> RecipeFile:
    """Read a recipe file.

    Raises:
        InvalidInput: naming the file and, where it can be told, the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except OSError as error:
        raise InvalidInput(f"cannot read: {error.strerror}", field=str(path)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(str(error), field=str(path)) from error
    faulty = RecipeFile(path, text, evolution_pb2.Recipe())
    try:
        message = _checked(_with_defaults(tree), evolution_pb2.Recipe.DESCRIPTOR, "")
        recipe = ParseDict(message, evolution_pb2.Recipe())
    except ParseError as error:
        raise InvalidInput(str(error), field=str(path)) from error
    except InvalidInput as error:
        raise faulty.located(error) from error
    return RecipeFile(path, text, recipe)


def line_of(text: str, field: str) -> int:
    """The line of a field's path like `rounds[1].gates[0].evaluation`; 0 if it cannot be told.

    The path is followed through the headers as far as they go; what is not there is looked for
    in the tables above it.
    """
    wanted = [part for part in re.split(r"[.\[\]]+", field) if part]
    best, depth = _deepest(text, wanted)
    if wanted[:1] == ["rounds"] and len(wanted) > 2 and depth < len(wanted):
        below, depth_below = _deepest(text, [DEFAULTS, "round", *wanted[2:]])
        if depth_below == len(wanted):  # what the round does not say, the defaults do
            return below
    return best


def _deepest(text: str, wanted: list[str]) -> tuple[int, int]:
    """The line that follows `wanted` furthest, and how far."""
    best, best_depth = 0, 0
    here: list[str] = []
    counts: dict[str, int] = {}
    # Not `splitlines`: what TOML and editors call a line ends nowhere else.
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.split("#")[0].strip()
        if header := re.fullmatch(r"(\[\[?)([A-Za-z0-9_.\-]+)\]\]?", stripped):
            here = _resolved(header[2].split("."), counts, array=header[1] == "[[")
            path = here
        elif assigned := re.match(r"([A-Za-z0-9_.\-]+)\s*=", stripped):
            path = [*here, *assigned[1].split(".")]
        else:
            continue
        depth = _common(path, wanted)
        if depth in (len(path), len(wanted)) and depth > best_depth:
            best, best_depth = number, depth
    return best, best_depth


def _resolved(names: list[str], counts: dict[str, int], *, array: bool) -> list[str]:
    """A header's path with the index of every array of tables on it."""
    path: list[str] = []
    for depth, name in enumerate(names):
        path.append(name)
        key = ".".join(path)
        if depth == len(names) - 1 and array:
            counts[key] = counts.get(key, -1) + 1
            for deeper in [known for known in counts if known.startswith(f"{key}.")]:
                del counts[deeper]
        if key in counts:
            path.append(str(counts[key]))
    return path


def _common(left: list[str], right: list[str]) -> int:
    depth = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        depth += 1
    return depth


def _with_defaults(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without `defaults`, whose `round` lies under every round."""
    rest = {key: value for key, value in tree.items() if key != DEFAULTS}
    defaults = tree.get(DEFAULTS, {})
    if not isinstance(defaults, dict):
        raise InvalidInput("must be a table", field=DEFAULTS)
    for key in defaults:
        if key != "round":
            raise InvalidInput("unknown key; there is: round", field=f"{DEFAULTS}.{key}")
        if not isinstance(defaults[key], dict):
            raise InvalidInput("must be a table", field=f"{DEFAULTS}.{key}")
    rounds = rest.get("rounds", [])
    if defaults and isinstance(rounds, list):
        rest["rounds"] = [
            _merged(defaults["round"], one) if isinstance(one, dict) else one for one in rounds
        ]
    return rest


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merged(below, value) if both else value  # type: ignore[arg-type] # both are
    return merged


def _checked(table: object, descriptor: Descriptor, where: str) -> dict[str, Any]:
    """A table as `ParseDict` wants it: keys known, enums by their full names."""
    if not isinstance(table, dict):
        raise InvalidInput("must be a table", field=where)
    found: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{where}.{key}" if where else key
        field = descriptor.fields_by_name.get(key)
        if field is None or key == "problems_key":  # which we set ourselves
            known = ", ".join(sorted(set(descriptor.fields_by_name) - {"problems_key"}))
            raise InvalidInput(f"unknown key; there is: {known}", field=path)
        found[key] = _value(value, field, path)
    return found


def _value(value: object, field: FieldDescriptor, path: str) -> object:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        if not isinstance(value, dict):
            raise InvalidInput("must be a table", field=path)
        return {str(key): str(each) for key, each in value.items()}
    if field.is_repeated:
        if not isinstance(value, list):
            raise InvalidInput("must be a list", field=path)
        return [_single(each, field, f"{path}[{index}]") for index, each in enumerate(value)]
    return _single(value, field, path)


_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: (str,),
    FieldDescriptor.CPPTYPE_BOOL: (bool,),
    FieldDescriptor.CPPTYPE_DOUBLE: (int, float),
    FieldDescriptor.CPPTYPE_UINT32: (int,),
    FieldDescriptor.CPPTYPE_UINT64: (int,),
}
_LARGEST = {FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1, FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1}


def _single(value: object, field: FieldDescriptor, path: str) -> object:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Duration":
            if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
                raise InvalidInput("must be a number of seconds", field=path)
            return f"{value}s"
        return _checked(value, field.message_type, path)
    if field.enum_type is not None:
        return _enum(value, field.enum_type, path)
    kinds = _KINDS[field.cpp_type]
    is_bool = isinstance(value, bool)
    if not isinstance(value, kinds) or (is_bool and bool not in kinds):
        raise InvalidInput(f"must be {' or '.join(kind.__name__ for kind in kinds)}", field=path)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput("must be a finite number", field=path)
    if isinstance(value, int) and (most := _LARGEST.get(field.cpp_type)):
        if value < 0:
            raise InvalidInput("must not be negative", field=path)
        if value > most:
            raise InvalidInput(f"must be at most {most}", field=path)
    return value


def _enum(value: object, enum: EnumDescriptor, path: str) -> str:
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    names = {v.name.removeprefix(prefix).lower(): v.name for v in enum.values if v.number}
    if not isinstance(value, str) or value.lower() not in names:
        raise InvalidInput(f"must be one of {', '.join(names)}", field=path)
    return names[value.lower()]


def digest(data: bytes) -> str:
    """A name for content."""
    return hashlib.sha256(data).hexdigest()[:24]
