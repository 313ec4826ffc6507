"""What an evaluation remembers between being killed and being started again.

    OUT/NAME/run.json          what was asked for; another question under this name is refused
    OUT/NAME/ARM.jsonl         one line a search that has ended
    OUT/NAME/verdicts.jsonl    one line an answer that was judged
    OUT/NAME/summary.json, report.md, accuracy.svg

Lines are appended whole; one that was cut off by a kill is dropped and done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rstar_cli.evaluation.record import Record
from rstar_common.errors import Conflict, InvalidInput

_VERDICTS = "verdicts.jsonl"

Answered = tuple[str, str]
"""A problem's id and an answer to it."""


class RunDirectory:
    """The files of one evaluation."""

    def __init__(self, path: Path, question: Mapping[str, Any]) -> None:
        """Open the run of `path`, new or begun.

        Raises:
            Conflict: it was begun with another question.
            InvalidInput: the directory cannot be written.
        """
        self.path = path
        text = json.dumps(question, indent=1, sort_keys=True, ensure_ascii=False)
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        asked = path / "run.json"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not asked.exists():
                asked.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"cannot write: {error}", field=str(path)) from error
        if asked.read_text(encoding="utf-8") != text:
            raise Conflict(
                f"{path} holds another evaluation, or one begun by an older release (see "
                "run.json); choose another --name, "
                "or remove the directory"
            )

    def records(self, arm: str) -> dict[str, Record]:
        """What is known of an arm's searches, by problem."""
        lines = _lines(self._arm(arm))
        return {line["problem_id"]: Record.from_json(line) for line in lines}

    @property
    def reported(self) -> bool:
        """Whether every search had ended once, and the report was written."""
        return (self.path / "summary.json").exists()

    def every_record(self) -> list[Record]:
        """What is known of the searches of all arms, pilots included."""
        arms = [one.stem for one in sorted(self.path.glob("*.jsonl")) if one.name != _VERDICTS]
        return [record for arm in arms for record in self.records(arm).values()]

    def add_record(self, arm: str, record: Record) -> None:
        """Remember a search."""
        _append(self._arm(arm), record.to_json())

    def verdicts(self) -> dict[Answered, str]:
        """Every answer that was judged."""
        lines = _lines(self.path / _VERDICTS)
        return {(line["problem_id"], line["answer"]): line["verdict"] for line in lines}

    def add_verdict(self, key: Answered, verdict: str) -> None:
        """Remember a judgement."""
        problem_id, answer = key
        line = {"problem_id": problem_id, "answer": answer, "verdict": verdict}
        _append(self.path / _VERDICTS, line)

    def write(self, name: str, text: str) -> Path:
        """Write a product of the run."""
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        return path

    def _arm(self, arm: str) -> Path:
        return self.path / f"{arm}.jsonl"


def _append(path: Path, value: Mapping[str, Any]) -> None:
    with path.open("a+b") as file:
        # A line that a kill cut off must not swallow this one.
        if file.tell() and not _ends_line(path):
            file.write(b"\n")
        file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    # Not `splitlines`: an answer may hold a separator of paragraphs.
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            found.append(json.loads(text))
        except ValueError:  # cut off by a kill, or what follows the last end of a line
            continue
    return found
