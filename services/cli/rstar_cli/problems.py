"""Problems in a file, gzipped or not: one JSON object a line.

    id, problem_id    names it; the line number does if it is missing
    question          required
    answer_kind       exact, number, choice, text or latex
    answer, reference the reference; read apart, never sent unless it is asked for
    anything else     a label, if it is a string or a number

Reading the reference is a function of its own, so no test-time path can carry it by accident.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rstar.v1 import types_pb2
from rstar_common.errors import InvalidInput
from rstar_common.streams import check_name

ANSWER_KINDS: Mapping[str, types_pb2.AnswerKind.ValueType] = {
    name.removeprefix("ANSWER_KIND_").lower(): number
    for name, number in types_pb2.AnswerKind.items()
    if number
}
_NOT_LABELS = frozenset({"id", "problem_id", "question", "answer_kind", "answer", "reference"})
_LONGEST_LABEL = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """One line of a problem file, without its reference."""

    problem_id: str
    question: str
    answer_kind: types_pb2.AnswerKind.ValueType
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_proto(self, reference: str | None = None) -> types_pb2.Problem:
        """As published; `reference` only for data generation."""
        return types_pb2.Problem(
            problem_id=self.problem_id,
            question=self.question,
            answer_kind=self.answer_kind,
            labels=self.labels,
            reference=reference,
        )


def read_problems(path: Path, *, kind: str = "exact") -> list[FileProblem]:
    """The problems of a file, in order.

    Raises:
        InvalidInput: naming the file and the line.
    """
    problems = [_problem(line, where, kind) for where, line in _lines(path)]
    if not problems:
        raise InvalidInput("holds no problem", field=str(path))
    seen: set[str] = set()
    for problem in problems:
        if problem.problem_id in seen:
            raise InvalidInput(f"{problem.problem_id} appears twice", field=str(path))
        seen.add(problem.problem_id)
    return problems


def read_references(path: Path) -> dict[str, str]:
    """The reference of each problem that has one.

    Raises:
        InvalidInput: naming the file and the line.
    """
    references = {}
    for where, line in _lines(path):
        if reference := _reference(line, where):
            references[_problem_id(line, where)] = reference
    return references


def _reference(line: Mapping[str, Any], where: str) -> str:
    """What `reference` says, else `answer`; empty where neither says anything."""
    name = "answer" if line.get("reference") is None else "reference"
    given = line.get(name)
    if given is None:
        return ""
    # A boolean is an int; a list, or NaN, is nothing that an answer could be compared with.
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise InvalidInput("is neither text nor a number", field=f"{where}: {name}")
    if isinstance(given, float) and not math.isfinite(given):
        raise InvalidInput("is not finite", field=f"{where}: {name}")
    if not (reference := str(given).strip()):
        raise InvalidInput("is empty", field=f"{where}: {name}")
    return reference


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        # Not `splitlines`: a question may hold a separator of paragraphs.
        lines = data.decode().split("\n")
    except OSError as error:  # without its own mention of the path
        raise InvalidInput(f"cannot read: {error.strerror or error}", field=str(path)) from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read: {error}", field=str(path)) from error
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        where = f"{path}:{number}"
        try:
            line = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"not JSON: {error}", field=where) from error
        if not isinstance(line, dict):
            raise InvalidInput("not a JSON object", field=where)
        yield where, line


def _problem_id(line: Mapping[str, Any], where: str) -> str:
    given = line.get("problem_id", line.get("id", f"line-{where.rpartition(':')[2]}"))
    return check_name(str(given), field=f"{where}: id")


def _problem(line: Mapping[str, Any], where: str, kind: str) -> FileProblem:
    question = line.get("question")
    if not isinstance(question, str) or not question.strip():
        raise InvalidInput("missing or empty", field=f"{where}: question")
    name = str(line.get("answer_kind", kind)).removeprefix("ANSWER_KIND_").lower()
    if name not in ANSWER_KINDS:
        raise InvalidInput(f"is none of {', '.join(ANSWER_KINDS)}", field=f"{where}: answer_kind")
    labels = {
        key: str(value)
        for key, value in line.items()
        if key not in _NOT_LABELS
        and isinstance(value, str | int | float)
        and len(str(value)) <= _LONGEST_LABEL
    }
    return FileProblem(
        problem_id=_problem_id(line, where),
        question=question,
        answer_kind=ANSWER_KINDS[name],
        labels=labels,
    )
