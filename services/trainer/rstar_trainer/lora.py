"""Low-rank adapters (Hu et al. 2021): a few weights are trained beside frozen ones, then merged.

Own code, because it is forty lines and a merged checkpoint is all that is wanted of it: peft
brings accelerate and a checkpoint format of its own, which nothing here reads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rstar_trainer.spec import Training


class LoraLinear(nn.Module):
    """A frozen linear map plus `scale * up @ down`; as good as frozen before it is trained."""

    def __init__(self, frozen: nn.Linear, *, rank: int, scale: float) -> None:
        super().__init__()
        self.frozen = frozen
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, frozen.in_features))
        self.up = nn.Parameter(torch.zeros(frozen.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, inputs: Tensor) -> Tensor:
        """As of the frozen map, adapted."""
        low = nn.functional.linear(inputs, self.down)
        adapted: Tensor = self.frozen(inputs) + self.scale * nn.functional.linear(low, self.up)
        return adapted

    def merged(self) -> nn.Linear:
        """One linear map that does the same."""
        with torch.no_grad():
            self.frozen.weight += self.scale * (self.up @ self.down)
        return self.frozen.requires_grad_(True)


def adapt(model: PreTrainedModel, training: Training) -> None:
    """Freeze `model` and put adapters beside every linear map of its layers.

    What lies outside of the body stays trainable: a head that is not tied to the embeddings. Where
    it is tied, the markers that a stock model was just given keep their first values: such a model
    wants one training of all weights before it is adapted.
    """
    if not training.lora_rank:
        return
    torch.manual_seed(training.seed)
    scale = (training.lora_alpha or 2.0 * training.lora_rank) / training.lora_rank
    model.base_model.requires_grad_(False)
    for layer in model.base_model.layers:
        for parent in list(layer.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(parent, name, LoraLinear(child, rank=training.lora_rank, scale=scale))


def merge(model: PreTrainedModel) -> None:
    """Undo `adapt`, keeping what was learned."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLinear):
                setattr(parent, name, child.merged())
    model.requires_grad_(True)
