"""The card beside a data set says where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

from rstar_trainer.job import WorkOrder
from rstar_trainer.lessons import CARD, CURVE, note_curve, write_card
from rstar_trainer.spec import PpmSpec


def test_a_step_that_is_trained_again_is_once_in_the_curve(tmp_path: Path) -> None:
    for step, loss in ((1, 4.0), (2, 3.0), (3, 2.5), (2, 3.5), (3, 2.0)):
        note_curve(tmp_path, {"step": step, "loss": loss, "examples": 7.0})
    points = [json.loads(line) for line in (tmp_path / CURVE).read_text().splitlines()]
    assert points == [
        {"step": 1, "loss": 4.0},
        {"step": 2, "loss": 3.5},
        {"step": 3, "loss": 2.0},
    ]


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
