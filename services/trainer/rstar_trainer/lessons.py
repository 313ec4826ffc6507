"""What a model was taught, kept beside it: the data set and the curve of its loss.

    sft.parquet      one row an example            (JSON lines without pyarrow)
    pairs.parquet    one row a preference pair
    values.parquet   one row a step and its Q: what a regression learns
    refused.txt      ids of problems that only programs solved whose right answers are chance
    sft.json, pairs.json   the same in the form of the authors' files, which have none of values
    README.md        the card (`datacard.py`)
    curve.jsonl      step, loss (a moving average, and the batch's own), learning rate

A job writes them into `lessons/` of its directory; the service publishes them under
`datasets/VERSION/` with the checkpoint. Variants are not in them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rstar_common.formats import PromptStep
from rstar_trainer.authors import pair_records, sft_records
from rstar_trainer.pairs import PreferenceGroup, ValuedSteps
from rstar_trainer.selection import Example

LESSONS = "lessons"
CURVE = "curve.jsonl"
REFUSED = "refused.txt"

CURVE_FIELDS = ("step", "loss", "batch_loss", "learning_rate", "tokens_per_second")


def write_examples(
    directory: Path, examples: Sequence[Example], batches: Mapping[str, str]
) -> None:
    """The SFT set; `batches` tells the batch of a search."""
    rows = [
        {
            "question": example.question,
            "steps": _steps(example.steps),
            # Of what was given nobody searched anything.
            "mean_q": example.mean_q if example.search_id else None,
            "agreement": example.agreement if example.search_id else None,
            "search_id": example.search_id,
            "problem_id": example.problem_id,
            "batch_id": batches.get(example.search_id, ""),
        }
        for example in examples
    ]
    _write_rows(directory, "sft", rows)
    _write_json(directory / "sft.json", sft_records(examples))


def write_refused(directory: Path, problems: Sequence[str]) -> None:
    """Problems whose right answers were all refused: a later round may search them again."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / REFUSED).write_text("".join(f"{one}\n" for one in problems))


def write_pairs(directory: Path, groups: Sequence[PreferenceGroup]) -> None:
    """The preference pairs; a group of several is several rows."""
    rows = [
        {
            "question": group.question,
            "preferred": _steps(preferred),
            "rejected": _steps(rejected),
            "q_preferred": q_preferred,
            "q_rejected": q_rejected,
            "final": group.final,
            "group": number,
            "search_id": group.search_id,
            "problem_id": group.problem_id,
            "batch_id": group.batch_id,
        }
        for number, group in enumerate(groups)
        for preferred, q_preferred in _with_q(group.preferred, group.q_preferred)
        for rejected, q_rejected in _with_q(group.rejected, group.q_rejected)
    ]
    _write_rows(directory, "pairs", rows)
    _write_json(directory / "pairs.json", pair_records(groups))


def write_values(directory: Path, valued: Sequence[ValuedSteps]) -> None:
    """The steps of a regression; those of a group are siblings."""
    rows = [
        {
            "question": siblings.question,
            "steps": _steps(path),
            "q": q,
            "group": number,
            "search_id": siblings.search_id,
            "problem_id": siblings.problem_id,
            "batch_id": siblings.batch_id,
        }
        for number, siblings in enumerate(valued)
        for path, q in zip(siblings.paths, siblings.values, strict=True)
    ]
    _write_rows(directory, "values", rows)


def note_curve(directory: Path, metrics: Mapping[str, float]) -> None:
    """Add a point to the curve; of a step that is trained again after a death the last counts."""
    if "loss" not in metrics or "step" not in metrics:
        return
    directory.mkdir(parents=True, exist_ok=True)
    point = {name: metrics[name] for name in CURVE_FIELDS if name in metrics}
    path = directory / CURVE
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["step"] < point["step"]]
    staging = path.with_suffix(".new")
    staging.write_text("".join(f"{line}\n" for line in [*kept, json.dumps(point)]))
    staging.replace(path)


def _with_q(
    paths: Sequence[tuple[PromptStep, ...]], values: Sequence[float]
) -> list[tuple[tuple[PromptStep, ...], float | None]]:
    """Paths with their Q: None where nobody searched."""
    qs: list[float | None] = [*values] or [None] * len(paths)
    return list(zip(paths, qs, strict=True))


def _steps(steps: Sequence[PromptStep]) -> list[dict[str, str]]:
    return [{"text": step.text, "kind": step.kind.value, "output": step.output} for step in steps]


def _write_rows(directory: Path, name: str, rows: list[dict[str, Any]]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (directory / f"{name}.jsonl").write_text(lines)
        return
    if rows:
        parquet.write_table(arrow.Table.from_pylist(rows), directory / f"{name}.parquet")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
