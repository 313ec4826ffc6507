"""The card of a data set, its `README.md`: counts, columns, rules, lineage.

It says what was not done as well: what nobody executed, judged or compared with anything. Its
columns are those that `lessons.py` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rstar_trainer.job import WorkOrder
from rstar_trainer.spec import Objective, PolicySpec

CARD = "README.md"

VARIANTS_OF_EACH = "variants_of_each"
"""Metric: how many variants of an example or a group were made, those left out included."""

SEARCHED = """\
Rows that name a search were selected from its tree (rStar-Math section 3). Every step of such a row
was executed in the sandbox; every answer was judged against the problem's reference. No person
wrote or checked a solution: right answers by wrong programs may be among them.
"""
VARIED = """\
Variants of what was searched, up to {count} of each with other names and numbers, were learned in
addition. They are not stored: the rows and the seed (`training.seed`) make them again. No step of a
variant was executed, and no answer was judged. `{total}` counts them; tables have none.
"""
GIVEN_BY_OTHERS = """\
Files that were given, by SHA-256. Nobody here executed their steps, judged their answers or
compared them with evaluation sets:
"""

COMPARED = """\
No variant that was learned asks what one of the {questions} questions of these evaluation sets asks
(keys in the object store):

{keys}

Two questions are one if their words are, in their order; case, spacing and punctuation apart.
Variants left out for it: {left_out}. Rows were not compared here. A run compares its problems
before it begins, by whole questions and by words in a row, and does not search those alike.
"""
NOT_COMPARED = """\
This job was told of no evaluation set: neither its rows nor its variants were compared with any.
"""

_OF_STEPS = (
    "list of steps in their order: `text` without markers, `kind` (`code`, `final_code`, `answer`),"
    " `output` (what it printed)"
)
_Q = "from -1, wrong, to 1, right: mean of what its search backed up to"
_ROW_OF_A_GROUP = "number of the group, from 0, that the row is of: {}"
_LINEAGE = {
    "search_id": "the search, and so the tree, that it was found in; empty: given",
    "problem_id": "the problem of that search, as its set calls it; empty: given",
    "batch_id": "the batch of that search; empty: given, or not told by the file of the tree",
}
COLUMNS: dict[str, dict[str, str]] = {
    "sft": {
        "question": "text of the problem",
        "steps": f"a right solution: {_OF_STEPS}",
        "mean_q": f"{_Q} a step, its mean over the steps; none: given",
        "agreement": "success of its program on other problems relative to the best program's,"
        " 0 to 1; 1 without the agreement filter; none: given",
        **_LINEAGE,
    },
    "pairs": {
        "question": "text of the problem",
        "preferred": f"the line that is preferred, from the first step on: {_OF_STEPS}",
        "rejected": "the line it is preferred to, likewise",
        "q_preferred": f"{_Q} the last step of the preferred line; of whole trajectories its mean"
        " over their steps; none: given",
        "q_rejected": "of the rejected line, likewise",
        "final": "whether the lines are whole trajectories, whose first steps may differ",
        "group": _ROW_OF_A_GROUP.format("its loss is a mean over its pairs"),
        **_LINEAGE,
    },
    "values": {
        "question": "text of the problem",
        "steps": f"from the first step to the one that is valued: {_OF_STEPS}",
        "q": f"{_Q} the last step; what is learned",
        "group": _ROW_OF_A_GROUP.format("its steps are siblings"),
        **_LINEAGE,
    },
}
"""What each column holds, by the name of the table and in the order of its columns."""

_ROWS = {
    "sft": "One row an example. Questions that are kept from training, to measure with, are among"
    " them, and so are examples too long for the model. `refused.txt` names problems of which no"
    " row is: agreement refused all their right solutions.",
    "pairs": "One row a pair: of a question, no two have the same texts on both sides, but for"
    " what was given. Questions that are kept from training, to measure with, are not among them,"
    " unless there are no others; pairs too long for the model are.",
    "values": "One row a step that something was backed up to. Questions that are kept from"
    " training, to measure with, are not among them; steps too long for the model are.",
}


def write_card(directory: Path, order: WorkOrder, metrics: Mapping[str, float]) -> None:
    """What the data set is and where it comes from."""
    directory.mkdir(parents=True, exist_ok=True)
    rules = json.dumps(order.spec.model_dump(mode="json"), indent=1, sort_keys=True)
    counts = "\n".join(f"| {name} | {value:g} |" for name, value in sorted(metrics.items()))
    text = f"""\
# Data of a {order.spec.model}

{_origin(order, metrics)}

- ordered by: {order.origin or "a job of its own"}
- batches: {", ".join(order.spec.batch_ids) or "none"}
- made from: {", ".join(order.parents) or "random weights"}
- agreement filter: {"on" if order.agreement_filter else "off"}

## Counts
| | |
|---|---|
{counts}

## Columns
{_columns(_table(order))}

## Decontamination
{_decontamination(order, metrics)}
## Rules
```json
{rules}
```
"""
    (directory / CARD).write_text(text)


def _table(order: WorkOrder) -> str:
    if isinstance(order.spec, PolicySpec):
        return "sft"
    return "values" if order.spec.objective is Objective.Q_REGRESSION else "pairs"


def _origin(order: WorkOrder, metrics: Mapping[str, float]) -> str:
    lines = []
    if order.spec.batch_ids:
        lines += [SEARCHED]
    if count := metrics.get(VARIANTS_OF_EACH):
        policy = isinstance(order.spec, PolicySpec)
        total = "training_examples" if policy else "groups_with_variants"
        lines += [VARIED.format(count=f"{count:g}", total=total)]
    if order.spec.data_digests:
        lines += [GIVEN_BY_OTHERS, *(f"- {digest}" for digest in order.spec.data_digests)]
    return "\n".join(lines)


def _columns(table: str) -> str:
    lines = [f"| `{name}` | {meaning} |" for name, meaning in COLUMNS[table].items()]
    head = [f"`{table}.parquet`, or `{table}.jsonl`. {_ROWS[table]}", "", "| | |", "|---|---|"]
    return "\n".join([*head, *lines])


def _decontamination(order: WorkOrder, metrics: Mapping[str, float]) -> str:
    keys = order.spec.evaluation_keys
    if not keys:
        return NOT_COMPARED
    return COMPARED.format(
        questions=len(order.questions_apart),
        keys="\n".join(f"- {key}" for key in keys),
        left_out=f"{metrics.get('variants_left_out', 0.0):g}",
    )
