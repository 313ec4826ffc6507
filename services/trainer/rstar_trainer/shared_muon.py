"""Muon in several processes: each steps a part of the matrices and sends them to the others.

The Newton-Schulz iterations of Muon (Jordan et al. 2024) are a quarter of a step of the mini
policy, and processes that have the same gradients would all do all of them. Each matrix is stepped
by one process alone: the weights are those of processes that each step them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rstar_trainer.ranks import Ranks


class SharedMuon(torch.optim.Muon):
    """Torch's Muon for `matrices` that every process has a copy of, with the same gradients.

    Momenta are kept in all processes, so that the state of any of them is the whole.
    """

    def __init__(self, matrices: Sequence[Tensor], ranks: Ranks, **options: Any) -> None:
        super().__init__(matrices, **options)
        self._rank = ranks.rank
        work = [min(one.shape) * one.numel() for one in matrices]
        owners = owners_of(work, ranks.world)
        self._parts = [
            [one for one, owner in zip(matrices, owners, strict=True) if owner == rank]
            for rank in range(ranks.world)
        ]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """As Muon's; all processes take part. Gradients of the others' matrices are dropped."""
        [group] = self.param_groups
        for rank, part in enumerate(self._parts):
            for matrix in part if rank != self._rank else []:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
                matrix.grad = None
        loss = super().step(closure)  # type: ignore[no-untyped-call] # torch
        for rank, part in enumerate(self._parts):
            if not part:
                continue
            flat = torch.cat([matrix.flatten() for matrix in part])
            dist.broadcast(flat, src=rank)
            if rank != self._rank:
                sizes = [matrix.numel() for matrix in part]
                for matrix, stepped in zip(part, torch.split(flat, sizes), strict=True):
                    matrix.copy_(stepped.view_as(matrix))
        return loss


def owners_of(work: Sequence[float], world: int) -> list[int]:
    """Who does each piece of work: the largest first, to whoever has least so far."""
    owners = [0] * len(work)
    load = [0.0] * world
    for index in sorted(range(len(work)), key=lambda index: -work[index]):
        owners[index] = load.index(min(load))
        load[owners[index]] += work[index]
    return owners
