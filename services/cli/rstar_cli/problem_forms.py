"""Problem sets in the forms they are published in, as lines of `rstar.v1.Problem`.

    lines      question, answer or reference, id, answer_kind; anything else is a label
    numina     problem, solution with a boxed answer (or `answer`), source        (NuminaMath)
    metamath   query, response that ends in "The answer is: X", type                (MetaMath)

A line of the two public forms without an answer that can be told is left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToJson

from rstar.v1 import types_pb2
from rstar_cli.problems import ANSWER_KINDS, read_problems, read_references
from rstar_common.errors import InvalidInput

LATEX = "latex"
_THE_ANSWER = re.compile(r"The answer is:?\s*(.+?)\s*\.?\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemLines:
    """A problem set as it is stored."""

    data: bytes
    problems: int
    left_out: int


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


def from_numina(line: Mapping[str, Any]) -> tuple[str, str | None, dict[str, str]]:
    """Question, answer and labels of a NuminaMath line."""
    answer = line.get("answer") or boxed(str(line.get("solution", "")))
    labels = {key: str(line[key]) for key in ("source", "problem_type") if line.get(key)}
    return str(line.get("problem", "")), str(answer) if answer else None, labels


def from_metamath(line: Mapping[str, Any]) -> tuple[str, str | None, dict[str, str]]:
    """Question, answer and labels of a MetaMath line."""
    told = _THE_ANSWER.search(str(line.get("response", "")))
    answer = told[1] if told else boxed(str(line.get("response", "")))
    labels = {"type": str(line["type"])} if line.get("type") else {}
    return str(line.get("query", "")), answer, labels


FORMS: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, str | None, dict[str, str]]]] = {
    "numina": from_numina,
    "metamath": from_metamath,
}


def read_form(path: Path, *, form: str, kind: str, name: str) -> ProblemLines:
    """Read a problem set, answers included.

    Raises:
        InvalidInput: naming the file and the line at fault.
    """
    if form not in ("", "lines", *FORMS):
        raise InvalidInput(f"must be one of lines, {', '.join(FORMS)}", field="form")
    if kind and kind not in ANSWER_KINDS:
        raise InvalidInput(f"must be one of {', '.join(ANSWER_KINDS)}", field="answer_kind")
    if form in FORMS:
        return _public_form(path, form, kind or LATEX, name)
    problems = read_problems(path, kind=kind or "exact")
    references = read_references(path)
    missing = [one.problem_id for one in problems if one.problem_id not in references]
    if missing:
        raise InvalidInput(f"{missing[0]} has no answer", field=str(path))
    lines = [_json(one.to_proto(references[one.problem_id])) for one in problems]
    return ProblemLines(data="".join(lines).encode(), problems=len(lines), left_out=0)


def _public_form(path: Path, form: str, kind: str, name: str) -> ProblemLines:
    from rstar_cli.problems import _lines

    lines: list[str] = []
    left_out = 0
    for number, (_, line) in enumerate(_lines(path), start=1):
        question, answer, labels = FORMS[form](line)
        if not question.strip() or answer is None:
            left_out += 1
            continue
        problem = types_pb2.Problem(
            problem_id=f"{name}/{number}",
            question=question,
            answer_kind=ANSWER_KINDS[kind],
            reference=answer,
            labels=labels,
        )
        lines.append(_json(problem))
    if not lines:
        raise InvalidInput(f"holds no problem in the form {form}", field=str(path))
    return ProblemLines(data="".join(lines).encode(), problems=len(lines), left_out=left_out)


def _json(problem: types_pb2.Problem) -> str:
    return MessageToJson(problem, preserving_proto_field_name=True, indent=None) + "\n"
