"""The processes that train one model together; `launch` starts them, on several nodes torchrun.

A small model has a copy in each of them, a larger one is sharded (FSDP). Each computes its part
of every batch, and the parts are weighted so that the gradient is that of the whole batch: two
processes follow the loss curve of one. In one process everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from rstar_trainer.lora import adapt
from rstar_trainer.spec import OptimizerKind, Training

RENDEZVOUS = "RSTAR_RENDEZVOUS"
"""The file in which `launch` has its workers meet; torchrun has a server for it."""

COPIED_PARAMETERS = 50_000_000
"""A model of at most so many is copied: 800 MB a process with its gradients and optimizer."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of its job."""

    rank: int = 0
    world: int = 1
    copied: int = COPIED_PARAMETERS
    """Parameters of the largest model that is copied, whatever its optimizer."""

    @property
    def first(self) -> bool:
        """Whether this process tells and writes for all."""
        return self.rank == 0

    def part(self, batch: Sequence[int]) -> list[int]:
        """This process's part of a batch; empty if there are fewer examples than processes."""
        return list(batch[self.rank :: self.world])

    def sums(self, *values: float) -> list[float]:
        """The sum of each value over all processes."""
        if self.world == 1:
            return list(values)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def most(self, value: int) -> int:
        """The largest value of any process."""
        if self.world == 1:
            return value
        largest = torch.tensor(value, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return int(largest.item())

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in any process: what all must do together."""
        return [value > 0 for value in self.sums(*(float(flag) for flag in flags))]

    def copies(self, model: nn.Module, training: Training) -> bool:
        """Whether each process has all of `model`: it is small, or Muon needs whole matrices."""
        small = sum(weights.numel() for weights in model.parameters()) <= self.copied
        return small or training.optimizer is OptimizerKind.MUON

    def share(self, task: nn.Module, model: PreTrainedModel, training: Training) -> nn.Module:
        """Have the processes train `model` together; what is returned is called for `task`.

        What is not copied to each of them is sharded layer by layer, in place. What lies outside
        of the layers (embeddings, a tied head) belongs to `task` as a whole, so that it is
        gathered once a call, whichever part of the model uses it first.
        """
        if self.world == 1:
            return task
        if self.copies(model, training):
            return DistributedDataParallel(
                task, forward_sync_buffers=False, gradient_as_bucket_view=True
            )
        for layer in model.base_model.layers:
            fully_shard(layer)
        fully_shard(task)
        return task

    def gathered(self, model: PreTrainedModel, training: Training) -> PreTrainedModel:
        """The model in one piece, of use in the first process alone."""
        if self.world == 1:
            return model
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = get_model_state_dict(model, options=options)
        whole = type(model)(model.config)
        adapt(whole, training)
        if self.first:
            whole.load_state_dict(weights)
        return whole


ONE = Ranks()
"""A process that trains alone."""


@contextmanager
def joined(*, device: str = "auto") -> Generator[Ranks]:
    """The processes started together, of which this is one; one alone if it was started so."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ONE
        return
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(
        "nccl" if on_gpus else "gloo",
        init_method=os.environ.get(RENDEZVOUS, "env://"),
        rank=int(os.environ["RANK"]),
        world_size=world,
    )
    try:
        yield Ranks(rank=dist.get_rank(), world=world)
    finally:
        dist.destroy_process_group()
