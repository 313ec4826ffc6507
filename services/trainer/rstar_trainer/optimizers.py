"""The optimizers of a run.

AdamW for everything, or Muon (Jordan et al. 2024) for the matrices of the layers and AdamW for
the rest. Muon is torch's, with the step sizes of Liu et al. 2025, so that both take the same
learning rate. For a policy of 3.5 million parameters from random weights it needed half of the
tokens at 1.35 times the work a token (docs/log.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from rstar_trainer.ranks import ONE, Ranks
from rstar_trainer.shared_muon import SharedMuon
from rstar_trainer.spec import OptimizerKind, Training

BETAS = (0.9, 0.95)

HEADS = ("lm_head", "score")
"""Last layers, as transformers names them."""


def optimizers_of(
    model: nn.Module, training: Training, ranks: Ranks = ONE
) -> list[torch.optim.Optimizer]:
    """The optimizers that together train `model`, in all processes that train it."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    if training.optimizer is OptimizerKind.ADAMW:
        return [_adamw(matrices, vectors, training)]
    # The ends of a model, tied or not, are no maps between hidden states.
    ends = {
        id(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) or name.split(".")[-1] in HEADS
    }
    hidden = [p for p in matrices if id(p) not in ends]
    options: dict[str, Any] = {
        "lr": training.learning_rate,
        "weight_decay": training.weight_decay,
        "adjust_lr_fn": "match_rms_adamw",
    }
    alone = ranks.world == 1
    muon = torch.optim.Muon(hidden, **options) if alone else SharedMuon(hidden, ranks, **options)
    others = [p for p in matrices if id(p) in ends]
    return [muon, _adamw(others, vectors, training)]


def _adamw(
    matrices: list[nn.Parameter],
    vectors: list[nn.Parameter],
    training: Training,
) -> torch.optim.AdamW:
    sharded = any(isinstance(weights, DTensor) for weights in (*matrices, *vectors))
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
        betas=BETAS,
        fused=not sharded,
    )
