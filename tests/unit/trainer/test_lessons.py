"""The card beside a data set says where it comes from."""

from __future__ import annotations

from pathlib import Path

from rstar_trainer.job import PpmSpec, WorkOrder
from rstar_trainer.lessons import CARD, write_card


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
