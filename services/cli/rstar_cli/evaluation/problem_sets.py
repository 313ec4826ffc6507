"""Problem sets by name: a local file where there is one, else the hub's, written down once.

    DIR/NAME.jsonl, DIR/NAME.jsonl.gz, DIR/benchmarks/NAME.jsonl     DIR is --data or RSTAR_DATA
    dm_math                                                          the project's held-out file

Whatever the source, an evaluation reads one file in the project's form, so problems and
references stay apart in the same two functions as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rstar_cli.evaluation import hub
from rstar_cli.local.checkout import resource
from rstar_common.errors import InvalidInput

ANSWER_KINDS: Mapping[str, str] = {
    "gsm8k": "number",
    "math500": "latex",
    "aime2024": "number",
    "amc23": "number",
    "gaokao2023en": "latex",
    "olympiadbench": "latex",
    "dm_math": "exact",
}
"""The sets with names, and how their answers are compared unless a line says otherwise."""

DEFAULT_DATA = Path("~/.cache/rstar-math/problems")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSet:
    """A file of problems and what it is called."""

    name: str
    path: Path
    answer_kind: str


def find(what: str, data: Path | None, *, answer_kind: str = "") -> ProblemSet:
    """The set called `what`, or the file of that path.

    Raises:
        InvalidInput: it is neither.
        Unavailable: it must come from the hub, and did not.
    """
    if what not in ANSWER_KINDS:
        path = Path(what)
        if not path.is_file():
            names = ", ".join(ANSWER_KINDS)
            raise InvalidInput(f"{what!r} is no file, and none of {names}", field="FILE|NAME")
        return ProblemSet(name=_stem(path), path=path, answer_kind=answer_kind or "exact")
    found = _local(what, data)
    if not found:
        directory = data or DEFAULT_DATA.expanduser()
        found = directory / f"{what}.jsonl"
        if not found.exists():
            hub.fetch(what, found)
    return ProblemSet(name=what, path=found, answer_kind=answer_kind or ANSWER_KINDS[what])


def _local(name: str, data: Path | None) -> Path | None:
    candidates = [
        directory / f"{name}{suffix}"
        for directory in ([data, data / "benchmarks"] if data else [])
        for suffix in (".jsonl", ".jsonl.gz")
    ]
    if name == "dm_math":
        candidates += [data / "dm_math" / "heldout.jsonl"] if data else []
        shipped = resource("data/dm_math/heldout.jsonl")
        candidates += [shipped] if shipped else []
        if not shipped and not any(path.is_file() for path in candidates):
            raise InvalidInput("not in this installation; name a directory", field="--data")
    return next((path for path in candidates if path.is_file()), None)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")
