"""The card beside a data set says where it comes from, and what was not done."""

from __future__ import annotations

from pathlib import Path

import pytest

from rstar_trainer.datacard import CARD, COLUMNS, VARIANTS_OF_EACH, write_card
from rstar_trainer.job import WorkOrder
from rstar_trainer.spec import Objective, PolicySpec, PpmSpec


def card(directory: Path, spec: PolicySpec | PpmSpec, metrics: dict[str, float], **order) -> str:
    write_card(directory, WorkOrder(spec=spec, **order), metrics)
    return (directory / CARD).read_text()


@pytest.mark.parametrize(
    ("spec", "table"),
    [
        (PolicySpec(batch_ids=("b",)), "sft"),
        (PpmSpec(batch_ids=("b",)), "pairs"),
        (PpmSpec(batch_ids=("b",), objective=Objective.OUTCOME), "pairs"),
        (PpmSpec(batch_ids=("b",), objective=Objective.Q_REGRESSION), "values"),
    ],
)
def test_the_card_tells_what_each_column_holds(tmp_path, spec, table):
    text = card(tmp_path, spec, {})
    assert f"`{table}.parquet`" in text
    told = text.partition("## Columns")[2].partition("## Decontamination")[0]
    assert [line.split("`")[1] for line in told.splitlines() if line.startswith("| `")] == list(
        COLUMNS[table]
    )


def test_the_card_tells_which_evaluation_sets_were_looked_at_and_how(tmp_path):
    spec = PpmSpec(batch_ids=("b",), evaluation_keys=("evolution/problems/1.jsonl",))
    metrics = {VARIANTS_OF_EACH: 2.0, "variants_left_out": 3.0}
    text = card(tmp_path, spec, metrics, questions_apart=("1 + 1?", "2 + 2?"))
    told = text.partition("## Decontamination")[2]
    assert "the 2 questions of these evaluation sets" in told
    assert "\n- evolution/problems/1.jsonl\n" in told
    assert "Variants left out for it: 3." in told
    assert "no evaluation set" in card(tmp_path, PpmSpec(batch_ids=("b",)), {})


def test_the_card_tells_of_variants_where_there_are_some(tmp_path):
    spec = PpmSpec(batch_ids=("b",), variants=2)
    text = card(tmp_path, spec, {VARIANTS_OF_EACH: 2.0})
    assert "2 of each" in text
    assert "They are not stored" in text
    assert "`groups_with_variants` counts them" in text
    assert "No step of a\nvariant was executed" in text
    policy = card(tmp_path, PolicySpec(batch_ids=("b",)), {VARIANTS_OF_EACH: 24.0})
    assert "`training_examples` counts them" in policy
    assert "not stored" not in card(tmp_path, PpmSpec(batch_ids=("b",)), {})


def test_the_card_names_batches_parents_and_what_ordered_it(tmp_path: Path) -> None:
    spec = PpmSpec(batch_ids=("mini/r1/search", "mini/r0/search"), min_margin=0.25)
    order = WorkOrder(
        spec=spec, parents=("policy-1",), origin="run mini, round 1, recipe 0123456789ab"
    )
    write_card(tmp_path, order, {"pairs": 12.0})
    text = (tmp_path / CARD).read_text()
    assert "- ordered by: run mini, round 1, recipe 0123456789ab\n" in text
    assert "- batches: mini/r1/search, mini/r0/search\n" in text
    assert "- made from: policy-1\n" in text
    assert "| pairs | 12 |" in text
    assert '"min_margin": 0.25' in text
