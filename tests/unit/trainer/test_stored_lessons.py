"""What a job leaves of what it learned: rows, card and manifest agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rstar_common.checkpoints import MANIFEST, Manifest
from rstar_common.streams import token
from rstar_trainer.authors import pair_records, sft_records
from rstar_trainer.datacard import CARD
from rstar_trainer.dataset import parse_tree
from rstar_trainer.job import CHECKPOINT, GIVEN, ORDER_FILE, TREES, WorkOrder
from rstar_trainer.lessons import LESSONS
from rstar_trainer.pairs import preference_groups
from rstar_trainer.ranks import ONE
from rstar_trainer.selection import select_examples
from rstar_trainer.spec import POLICY_TRAINING, PPM_TRAINING, Objective, PolicySpec, PpmSpec
from tests.support.arithmetic_trees import arithmetic_trees
from tests.support.models import TINY_SHAPE, write_policy
from tests.support.shared_training import carry_out

ORIGIN = "run mini, round 1, recipe 0123456789ab"
GIVEN_DIGEST = "1" * 64
UNTRAINED = {"untrained": True}


def made(directory: Path, order: WorkOrder, given: list | None = None) -> tuple[Path, Manifest]:
    """Carry an order out; where its data set lies, and its manifest."""
    trees, files = directory / TREES, directory / GIVEN
    trees.mkdir(parents=True)
    files.mkdir()
    for batch_id in order.spec.batch_ids:
        for tree in arithmetic_trees(30, digits=1):
            tree.search_id = f"{token(batch_id)[:4]}-{tree.search_id}"
            name = f"{token(batch_id)}-{tree.search_id}.pb"
            (trees / name).write_bytes(tree.SerializeToString())
    if given is not None:
        (files / "0000.json").write_text(json.dumps(given))
    (directory / ORDER_FILE).write_text(order.model_dump_json())
    carry_out([directory], ONE)
    manifest = Manifest.from_json((directory / CHECKPOINT / MANIFEST).read_bytes())
    return directory / LESSONS, manifest


def ppm_order(base: Path, **spec) -> WorkOrder:
    write_policy(base)
    training = PPM_TRAINING.model_copy(update=UNTRAINED)
    fields = {"batch_ids": ("r0",), "training": training, "min_margin": 0.1} | spec
    return WorkOrder(spec=PpmSpec(**fields), base=str(base), origin=ORIGIN)


def rows_of(lessons: Path, table: str) -> list[dict]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(lessons / f"{table}.parquet").to_pylist()


def given_groups():
    tree = parse_tree(arithmetic_trees(1, seed=5)[0].SerializeToString())
    return preference_groups(tree, per_side=2, min_margin=0.1)


def test_a_policy_tells_what_ordered_it_and_what_files_it_learned_from(tmp_path):
    spec = PolicySpec(
        batch_ids=("r0",),
        data_digests=(GIVEN_DIGEST,),
        shape=TINY_SHAPE,
        training=POLICY_TRAINING.model_copy(update=UNTRAINED),
    )
    other = [parse_tree(tree.SerializeToString()) for tree in arithmetic_trees(3, seed=5)]
    given = sft_records(select_examples(other, per_problem=1, agreement=None).examples)
    lessons, manifest = made(tmp_path / "job", WorkOrder(spec=spec, origin=ORIGIN), given)
    assert (manifest.origin, manifest.data_digests) == (ORIGIN, [GIVEN_DIGEST])
    rows = rows_of(lessons, "sft")
    assert {(row["batch_id"], bool(row["search_id"])) for row in rows} == {
        ("r0", True),
        ("", False),
    }
    each = manifest.metrics["variants_of_each"]
    assert each >= 1
    assert f"{each:g} of each" in (lessons / CARD).read_text()


def test_a_ppm_tells_what_ordered_it_and_teaches_what_two_batches_have_once(tmp_path):
    one, first = made(tmp_path / "one", ppm_order(tmp_path / "base"))
    order = ppm_order(
        tmp_path / "base", batch_ids=("r0", "r1"), data_digests=(GIVEN_DIGEST,), variants=1
    )
    two, second = made(tmp_path / "two", order, pair_records(given_groups()))
    assert (first.origin, first.data_digests) == (ORIGIN, [])
    assert (second.origin, second.data_digests) == (ORIGIN, [GIVEN_DIGEST])
    assert "variants_of_each" not in first.metrics
    assert second.metrics["variants_of_each"] == 1
    given = sum(group.pairs for group in given_groups())
    assert second.metrics["pairs"] == first.metrics["pairs"] + given
    # Some of the thirty questions are the same as well.
    repeated = first.metrics["repeated_pairs"]
    assert second.metrics["repeated_pairs"] == first.metrics["pairs"] + 2 * repeated
    assert 0 < repeated < first.metrics["pairs"]
    before, after = rows_of(one, "pairs"), rows_of(two, "pairs")
    assert len(after) == len(before) + given
    lines = [
        (row["question"], *(json.dumps(row[side]) for side in ("preferred", "rejected")))
        for row in after
    ]
    assert len(set(lines)) == len(lines)


def test_a_regression_leaves_its_rows_and_no_pairs(tmp_path):
    order = ppm_order(tmp_path / "base", objective=Objective.Q_REGRESSION)
    lessons, manifest = made(tmp_path / "job", order)
    rows = rows_of(lessons, "values")
    assert len(rows) == manifest.metrics["valued_steps"] > 0
    assert not list(lessons.glob("pairs.*"))
    assert "`values.parquet`" in (lessons / CARD).read_text()


def test_an_outcome_model_leaves_whole_trajectories(tmp_path):
    order = ppm_order(tmp_path / "base", objective=Objective.OUTCOME)
    lessons, manifest = made(tmp_path / "job", order)
    rows = rows_of(lessons, "pairs")
    assert len(rows) == manifest.metrics["pairs"] > 0
    assert all(row["final"] and row["q_preferred"] is not None for row in rows)
