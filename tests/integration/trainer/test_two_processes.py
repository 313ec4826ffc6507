"""Two processes that train one sharded model, beside one that trains it alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rstar_trainer.child import run_worker
from rstar_trainer.job import (
    CHECKPOINT,
    ORDER_FILE,
    POLICY_TRAINING,
    PPM_TRAINING,
    TREES,
    PolicySpec,
    PpmSpec,
    WorkOrder,
)
from rstar_trainer.lessons import CURVE, LESSONS
from tests.support.arithmetic_trees import arithmetic_trees
from tests.support.models import TINY_SHAPE, write_policy

FEW = {"max_steps": 12, "batch_tokens": 512}


def order_directory(directory: Path, order: WorkOrder) -> Path:
    """What the service leaves for a worker."""
    (directory / TREES).mkdir(parents=True)
    for tree in arithmetic_trees(24, digits=1):
        path = directory / TREES / f"{tree.search_id}.pb"
        path.write_bytes(tree.SerializeToString())
    (directory / ORDER_FILE).write_text(order.model_dump_json())
    return directory


async def trained(directory: Path, order: WorkOrder, processes: int) -> Path:
    order = order.model_copy(update={"processes": processes})
    made = order_directory(directory, order)
    end = await run_worker(made, threads=1, processes=processes, on_progress=lambda event: None)
    assert end.event is not None, end
    assert end.event.event == "done", end
    return made


def losses(directory: Path) -> list[float]:
    lines = (directory / LESSONS / CURVE).read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize("model", ["policy", "ppm", "lora"])
async def test_two_processes_follow_the_loss_curve_of_one(tmp_path, model):
    write_policy(tmp_path / "base")
    policy = PolicySpec(
        batch_ids=("b",), shape=TINY_SHAPE, training=POLICY_TRAINING.model_copy(update=FEW)
    )
    ppm = PpmSpec(batch_ids=("b",), training=PPM_TRAINING.model_copy(update=FEW), min_margin=0.1)
    adapters = policy.training.model_copy(update={"lora_rank": 4, "learning_rate": 0.01})
    order = {
        "policy": WorkOrder(spec=policy, precision="float32"),
        "ppm": WorkOrder(spec=ppm, base=str(tmp_path / "base"), precision="float32"),
        "lora": WorkOrder(
            spec=policy.model_copy(update={"training": adapters}),
            base=str(tmp_path / "base"),
            precision="float32",
        ),
    }[model]
    one, two = await asyncio.gather(
        trained(tmp_path / "one", order, 1), trained(tmp_path / "two", order, 2)
    )
    alone, together = losses(one), losses(two)
    assert len(alone) == len(together) == FEW["max_steps"]
    assert alone[-1] < alone[0]
    assert together == pytest.approx(alone, abs=1e-4)
    weights = [load_file(made / CHECKPOINT / "model.safetensors") for made in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        # Saved as bf16: neighbours at most.
        torch.testing.assert_close(tensor, weights[1][name], atol=2e-3, rtol=2e-2)
