"""Run by torchrun: steps of Muon shared by the processes beside steps that each makes alone."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from rstar_trainer.ranks import joined
from rstar_trainer.shared_muon import SharedMuon

OPTIONS = {"lr": 0.01, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
SHAPES = ((8, 8), (24, 8), (8, 24), (8, 8), (16, 8))


def matrices() -> list[nn.Parameter]:
    """The same in every process."""
    drawn = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=drawn)) for shape in SHAPES]


def main(directory: Path) -> None:
    """Leave both processes' weights and momenta, stepped alone and together."""
    with joined(device="cpu") as ranks:
        alone, together = matrices(), matrices()
        muon = torch.optim.Muon(alone, **OPTIONS)
        shared = SharedMuon(together, ranks, **OPTIONS)
        drawn = torch.Generator().manual_seed(1)
        for _ in range(3):
            for one, other in zip(alone, together, strict=True):
                one.grad = torch.randn(one.shape, generator=drawn)
                other.grad = one.grad.clone()
            muon.step()
            shared.step()
        told = {
            name: (weights, [optimizer.state[one]["momentum_buffer"] for one in weights])
            for name, weights, optimizer in (("alone", alone, muon), ("together", together, shared))
        }
        torch.save(told, directory / f"{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
