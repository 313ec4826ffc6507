"""Two processes that train one model, copied or sharded, beside one that trains it alone."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rstar_common.processes import free_ports
from rstar_trainer.job import CHECKPOINT, ORDER_FILE, TREES, WorkOrder
from rstar_trainer.lessons import CURVE, LESSONS
from rstar_trainer.ranks import ONE, Ranks
from rstar_trainer.spec import POLICY_TRAINING, PPM_TRAINING, OptimizerKind, PolicySpec, PpmSpec
from tests.support.arithmetic_trees import arithmetic_trees
from tests.support.models import TINY_SHAPE, write_policy
from tests.support.shared_training import carry_out

FEW = {"max_steps": 12, "batch_tokens": 512}
IN_PARTS = {"micro_batch_tokens": 96, "recompute_activations": True}
"""Parts of which one process has more than the other."""

ROOT = Path(__file__).parents[3]


def orders(base: str, **more: object) -> dict[str, WorkOrder]:
    """A policy by either optimizer, a PPM, and adapters beside each."""
    policy = PolicySpec(
        batch_ids=("b",), shape=TINY_SHAPE, training=POLICY_TRAINING.model_copy(update=FEW | more)
    )
    ppm = PpmSpec(
        batch_ids=("b",), training=PPM_TRAINING.model_copy(update=FEW | more), min_margin=0.1
    )
    muon = policy.training.model_copy(update={"optimizer": OptimizerKind.MUON})
    adapters = policy.training.model_copy(update={"lora_rank": 4, "learning_rate": 0.01})
    few_more = ppm.training.model_copy(update={"lora_rank": 4, "learning_rate": 0.003})
    return {
        "policy": WorkOrder(spec=policy, precision="float32"),
        "muon": WorkOrder(spec=policy.model_copy(update={"training": muon}), precision="float32"),
        "ppm": WorkOrder(spec=ppm, base=base, precision="float32"),
        "adapters of a PPM": WorkOrder(
            spec=ppm.model_copy(update={"training": few_more}), base=base, precision="float32"
        ),
        "adapters": WorkOrder(
            spec=policy.model_copy(update={"training": adapters}), base=base, precision="float32"
        ),
    }


def order_directory(directory: Path, order: WorkOrder) -> Path:
    """What the service leaves for a worker."""
    (directory / TREES).mkdir(parents=True)
    for tree in arithmetic_trees(24, digits=1):
        path = directory / TREES / f"{tree.search_id}.pb"
        path.write_bytes(tree.SerializeToString())
    (directory / ORDER_FILE).write_text(order.model_dump_json())
    return directory


def losses(directory: Path) -> list[float]:
    lines = (directory / LESSONS / CURVE).read_text().splitlines()
    return [json.loads(line)["batch_loss"] for line in lines]


async def test_two_processes_follow_the_loss_curves_of_one_and_end_with_its_weights(tmp_path):
    write_policy(tmp_path / "base")
    whole, parted = (orders(str(tmp_path / "base"), **more) for more in ({}, IN_PARTS))
    alone = {name: order_directory(tmp_path / "one" / name, order) for name, order in whole.items()}
    copied, sharded = (
        {
            (cut, name): order_directory(tmp_path / kind / cut / name, order)
            for cut, named in (("whole", whole), ("in parts", parted))
            for name, order in named.items()
            if kind == "copied" or name != "muon"  # which is never sharded
        }
        for kind in ("copied", "sharded")
    )
    torchrun = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "tests.support.shared_training", *map(str, copied.values())),
        *("--", *map(str, sharded.values())),
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    await asyncio.to_thread(carry_out, alone.values(), ONE)
    assert await torchrun.wait() == 0
    for (_, name), two in [*copied.items(), *sharded.items()]:
        one = alone[name]
        curve = losses(one)
        assert len(curve) == FEW["max_steps"]
        assert curve[-1] < curve[0]
        assert losses(two) == pytest.approx(curve, abs=1e-4)
        weights = [load_file(path / CHECKPOINT / "model.safetensors") for path in (one, two)]
        assert weights[0].keys() == weights[1].keys()
        for each, tensor in weights[0].items():
            # Saved as bf16: neighbours at most.
            torch.testing.assert_close(tensor, weights[1][each], atol=2e-3, rtol=2e-2)


async def test_steps_that_two_processes_share_are_those_of_each_alone(tmp_path):
    torchrun = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "tests.support.shared_steps", str(tmp_path)),
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await torchrun.wait() == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    expected = [*first["alone"][0], *first["alone"][1]]
    for weights, momenta in (first["together"], second["together"]):
        for one, other in zip([*weights, *momenta], expected, strict=True):
            assert torch.equal(one, other)


async def test_two_nodes_joined_by_torchrun_follow_the_loss_curve_of_one_process(tmp_path):
    order = orders("")["policy"]
    alone = order_directory(tmp_path / "one", order)
    shared = order_directory(tmp_path / "two", order)  # the volume that all nodes may write
    [port] = free_ports(1)
    nodes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"),
            *("--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "test"),
            *("--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1"),
            *("-m", "rstar_trainer.worker", str(shared)),
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            stdout=asyncio.subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    await asyncio.to_thread(carry_out, [alone], ONE)
    assert [await node.wait() for node in nodes] == [0, 0]
    assert losses(shared) == pytest.approx(losses(alone), abs=1e-4)
    assert (shared / CHECKPOINT / "manifest.json").is_file()


def test_what_is_small_or_trained_by_muon_is_copied_and_the_rest_sharded():
    layer = torch.nn.Linear(8, 8, bias=False)
    muon = POLICY_TRAINING.model_copy(update={"optimizer": OptimizerKind.MUON})
    assert Ranks(world=2).copies(layer, POLICY_TRAINING)
    assert not Ranks(world=2, copied=63).copies(layer, POLICY_TRAINING)
    assert Ranks(world=2, copied=63).copies(layer, muon)
