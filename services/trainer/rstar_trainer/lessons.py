"""What a model was taught, kept beside it: the data set, its card and the curve of its loss.

    sft.parquet, pairs.parquet   one row an example or a pair (JSON lines without pyarrow)
    sft.json, pairs.json         the same in the form of the authors' files
    README.md                    the card: counts, rules, lineage
    curve.jsonl                  step, loss, learning rate

A job writes them into `lessons/` of its directory; the service publishes them under
`datasets/VERSION/` with the checkpoint.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rstar_common.formats import PromptStep
from rstar_trainer.authors import pair_records, sft_records
from rstar_trainer.job import WorkOrder
from rstar_trainer.pairs import PreferenceGroup
from rstar_trainer.selection import Example

LESSONS = "lessons"
CURVE = "curve.jsonl"
CARD = "README.md"

SEARCHED = """\
Selected from the trees of finished searches (rStar-Math section 3). Every step was executed in the
sandbox; every answer was judged against the problem's reference. No person wrote or checked a
solution: right answers by wrong programs may be among them.
"""
GIVEN_BY_OTHERS = """\
Files that were given, by SHA-256. Nobody here executed their steps, judged their answers or
compared them with evaluation sets:
"""

CURVE_FIELDS = ("step", "loss", "learning_rate", "tokens_per_second")


def write_examples(directory: Path, examples: Sequence[Example]) -> None:
    """The SFT set."""
    rows = [
        {
            "question": example.question,
            "steps": _steps(example.steps),
            # Of what was given nobody searched anything.
            "mean_q": example.mean_q if example.search_id else None,
            "agreement": example.agreement if example.search_id else None,
            "search_id": example.search_id,
            "problem_id": example.problem_id,
        }
        for example in examples
    ]
    _write_rows(directory, "sft", rows)
    _write_json(directory / "sft.json", sft_records(examples))


def write_pairs(directory: Path, groups: Sequence[PreferenceGroup]) -> None:
    """The preference pairs; a group of several is several rows."""
    rows = [
        {
            "question": group.question,
            "preferred": _steps(preferred),
            "rejected": _steps(rejected),
            "final": group.final,
            "group": number,
            "search_id": group.search_id,
            "problem_id": group.problem_id,
        }
        for number, group in enumerate(groups)
        for preferred in group.preferred
        for rejected in group.rejected
    ]
    _write_rows(directory, "pairs", rows)
    _write_json(directory / "pairs.json", pair_records(groups))


def write_card(directory: Path, order: WorkOrder, metrics: Mapping[str, float]) -> None:
    """What the data set is and where it comes from."""
    directory.mkdir(parents=True, exist_ok=True)
    rules = json.dumps(order.spec.model_dump(mode="json"), indent=1, sort_keys=True)
    counts = "\n".join(f"| {name} | {value:g} |" for name, value in sorted(metrics.items()))
    text = f"""\
# Data of a {order.spec.model}

{_origin(order)}

- ordered by: {order.origin or "a job of its own"}
- batches: {", ".join(order.spec.batch_ids) or "none"}
- made from: {", ".join(order.parents) or "random weights"}
- agreement filter: {"on" if order.agreement_filter else "off"}

| | |
|---|---|
{counts}

```json
{rules}
```
"""
    (directory / CARD).write_text(text)


def _origin(order: WorkOrder) -> str:
    lines = []
    if order.spec.batch_ids:
        lines += [SEARCHED]
    if order.spec.data_digests:
        lines += [GIVEN_BY_OTHERS, *(f"- {digest}" for digest in order.spec.data_digests)]
    return "\n".join(lines)


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
