"""Problem sets in the forms they are published in, as lines of `rstar.v1.Problem`.

    lines      question, answer or reference, id, answer_kind; anything else is a label
    numina     problem, solution with a boxed answer (or `answer`), source        (NuminaMath)
    metamath   query, response that ends in "The answer is: X", type                (MetaMath)

The two public forms are read as they are published: Parquet in several parts (`rows.parts`), one
JSON array, or JSON lines. A problem without an answer that can be told is left out and counted; a
question that is asked again is taken once, with its first answer, and counted too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rstar.v1 import types_pb2
from rstar_cli.problems import ANSWER_KINDS, read_problems, read_references
from rstar_cli.rows import Row, parts, read_rows
from rstar_common.errors import InvalidInput
from rstar_common.lines import json_lines

LATEX = "latex"
NO_REFERENCES = frozenset({"", "proof", "notfound"})
"""What NuminaMath-1.5 answers where there is nothing to compare with, in small letters."""

_THE_ANSWER = re.compile(r".*The answer is:?\s*(.+?)\s*\.?\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemLines:
    """A problem set as it is stored."""

    data: bytes
    problems: int
    left_out: int
    """Problems without a question, or without an answer that can be told."""

    repeated: int
    """Problems whose question had been asked before."""

    others: int = 0
    """Problems whose labels were not asked for."""


def boxed(solution: str) -> str | None:
    r"""What the last `\boxed{…}` of a solution holds, or nothing."""
    start = solution.rfind(r"\boxed{")
    if start < 0:
        return None
    depth, begin = 1, start + len(r"\boxed{")
    for index in range(begin, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[index], 0)
        if depth == 0:
            return solution[begin:index].strip() or None
    return None


def from_numina(row: Row) -> tuple[str, str | None, dict[str, str]]:
    """Question, answer and labels of a NuminaMath row; a field `answer` alone says the answer."""
    answer = _text(row, "answer") if "answer" in row else boxed(_text(row, "solution"))
    if answer is not None and answer.strip().lower() in NO_REFERENCES:
        answer = None
    labels = {key: str(row[key]) for key in ("source", "problem_type") if row.get(key)}
    return _text(row, "problem"), answer, labels


def from_metamath(row: Row) -> tuple[str, str | None, dict[str, str]]:
    """Question, answer and labels of a MetaMath row."""
    response = _text(row, "response")
    told = _THE_ANSWER.match(response)
    answer = told[1] if told else boxed(response)
    labels = {"type": str(row["type"])} if row.get("type") else {}
    return _text(row, "query"), answer, labels


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


FORMS: Mapping[str, Callable[[Row], tuple[str, str | None, dict[str, str]]]] = {
    "numina": from_numina,
    "metamath": from_metamath,
}


def read_form(
    path: Path,
    *,
    form: str,
    kind: str,
    name: str,
    only: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> ProblemLines:
    """Read a problem set, answers included; of labels named in `only` just these values.

    Raises:
        InvalidInput: naming the file and the line at fault.
        Unavailable: the file is Parquet, and pyarrow is not installed.
    """
    if form not in ("", "lines", *FORMS):
        raise InvalidInput(f"must be one of lines, {', '.join(FORMS)}", field="form")
    if kind and kind not in ANSWER_KINDS:
        raise InvalidInput(f"must be one of {', '.join(ANSWER_KINDS)}", field="answer_kind")
    if form in FORMS:
        return _public_form(path, form, kind or LATEX, name, only)
    problems = read_problems(path, kind=kind or "exact")
    references = read_references(path)
    missing = [one.problem_id for one in problems if one.problem_id not in references]
    if missing:
        raise InvalidInput(f"{missing[0]} has no answer", field=str(path))
    wanted = [one for one in problems if _is_wanted(one.labels, only)]
    if not wanted:
        raise _nothing_left(path, only)
    return ProblemLines(
        data=json_lines(one.to_proto(references[one.problem_id]) for one in wanted),
        problems=len(wanted),
        left_out=0,
        repeated=0,
        others=len(problems) - len(wanted),
    )


def _is_wanted(labels: Mapping[str, str], only: Mapping[str, Collection[str]]) -> bool:
    return all(labels.get(label) in values for label, values in only.items())


def _nothing_left(path: Path, only: Mapping[str, Collection[str]]) -> InvalidInput:
    asked = " and ".join(f"{label} {' or '.join(sorted(each))}" for label, each in only.items())
    return InvalidInput(f"{path.name} holds no problem with {asked}", field="only")


def _public_form(
    path: Path, form: str, kind: str, name: str, only: Mapping[str, Collection[str]]
) -> ProblemLines:
    found: list[types_pb2.Problem] = []
    asked: set[str] = set()
    left_out = repeated = others = 0
    rows = (row for part in parts(path) for row in read_rows(part))
    for number, row in enumerate(rows, start=1):
        question, answer, labels = FORMS[form](row)
        if not _is_wanted(labels, only):
            others += 1
            continue
        words = " ".join(question.split())
        if not words or answer is None:
            left_out += 1
            continue
        if words in asked:
            repeated += 1
            continue
        asked.add(words)
        problem = types_pb2.Problem(
            problem_id=f"{name}/{number}",
            question=question,
            answer_kind=ANSWER_KINDS[kind],
            reference=answer,
            labels=labels,
        )
        found.append(problem)
    if not found and others:
        raise _nothing_left(path, only)
    if not found:
        raise InvalidInput(f"holds no problem in the form {form}", field=str(path))
    return ProblemLines(
        data=json_lines(found),
        problems=len(found),
        left_out=left_out,
        repeated=repeated,
        others=others,
    )
