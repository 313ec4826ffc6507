"""The same trees give the same data sets and the same checkpoints, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rstar_common.checkpoints import MANIFEST, Manifest
from rstar_common.scores import RAW_SCORE_DIVISOR, SCORE_DIVISOR
from rstar_trainer.job import CHECKPOINT, ORDER_FILE, TREES, WorkOrder
from rstar_trainer.lessons import CURVE, LESSONS
from rstar_trainer.ranks import ONE
from rstar_trainer.spec import POLICY_TRAINING, PPM_TRAINING, Objective, PolicySpec, PpmSpec
from tests.support.arithmetic_trees import arithmetic_trees
from tests.support.models import TINY_SHAPE, write_policy
from tests.support.shared_training import carry_out

FEW = {"max_steps": 4, "batch_tokens": 256}


def made(directory: Path, order: WorkOrder, *, backwards: bool) -> dict[str, bytes | str]:
    """Everything a job leaves but its clock; the trees arrive in either order."""
    (directory / TREES).mkdir(parents=True)
    trees = arithmetic_trees(30, digits=1)
    for tree in trees[::-1] if backwards else trees:
        (directory / TREES / f"{tree.search_id}.pb").write_bytes(tree.SerializeToString())
    (directory / ORDER_FILE).write_text(order.model_dump_json())
    carry_out([directory], ONE)
    files = [*(directory / CHECKPOINT).iterdir(), *(directory / LESSONS).iterdir()]
    clocked = (MANIFEST, CURVE, "README.md")  # times, and tokens a second
    left: dict[str, bytes | str] = {
        file.name: file.read_bytes() for file in files if file.name not in clocked
    }
    manifest = Manifest.from_json((directory / CHECKPOINT / MANIFEST).read_bytes())
    return left | {"version": manifest.version}


@pytest.mark.parametrize(
    ("model", "table"), [("policy", "sft"), ("ppm", "pairs"), ("regression", "values")]
)
def test_the_same_trees_give_the_same_bytes_in_whatever_order_they_arrive(tmp_path, model, table):
    write_policy(tmp_path / "base")
    policy = PolicySpec(
        batch_ids=("b",),
        shape=TINY_SHAPE,
        training=POLICY_TRAINING.model_copy(update=FEW),
        agreement_filter=True,
    )
    ppm = PpmSpec(batch_ids=("b",), training=PPM_TRAINING.model_copy(update=FEW), min_margin=0.1)
    order = {
        "policy": WorkOrder(spec=policy, agreement_filter=True),
        "ppm": WorkOrder(spec=ppm, base=str(tmp_path / "base")),
        "regression": WorkOrder(
            spec=ppm.model_copy(update={"objective": Objective.Q_REGRESSION, "variants": 1}),
            base=str(tmp_path / "base"),
        ),
    }[model]
    first = made(tmp_path / "first", order, backwards=False)
    assert {"model.safetensors", "version"} < set(first)
    assert any(name.startswith(f"{table}.") for name in first)
    assert made(tmp_path / "second", order, backwards=True) == first


def test_raw_rewards_make_another_model_that_says_so(tmp_path):
    write_policy(tmp_path / "base")
    training = PPM_TRAINING.model_copy(update=FEW)
    spec = PpmSpec(batch_ids=("b",), training=training, min_margin=0.1)
    plain, raw = (
        made(
            tmp_path / str(value),
            WorkOrder(
                spec=spec.model_copy(update={"raw_rewards": value}), base=str(tmp_path / "base")
            ),
            backwards=False,
        )
        for value in (False, True)
    )
    assert json.loads(raw["config.json"])[SCORE_DIVISOR] == RAW_SCORE_DIVISOR
    assert SCORE_DIVISOR not in json.loads(plain["config.json"])
    assert raw["model.safetensors"] != plain["model.safetensors"]
