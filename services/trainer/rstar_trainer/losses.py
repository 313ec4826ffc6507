"""The losses of both models.

Shape suffixes: B = sequences in the batch, T = positions, V = vocabulary, K = trained
positions of the batch, G = groups (prefixes) in the batch, P = preferred steps of a
group, R = rejected steps of a group.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_cross_entropy(logits_KV: Tensor, targets_K: Tensor) -> Tensor:
    """Mean of -log p(target) over the trained positions alone.

    Raises:
        ValueError: nothing is trained. A batch that teaches nothing is a data bug.
    """
    if targets_K.numel() == 0:
        raise ValueError("no trained position in the batch")
    return F.cross_entropy(logits_KV.float(), targets_K)


def pairwise_ranking_loss(
    preferred_GP: Tensor, rejected_GR: Tensor, valid_GP: Tensor, valid_GR: Tensor
) -> Tensor:
    """Bradley-Terry: -log sigmoid(r+ - r-), a mean over the pairs of each group, then over groups.

    Only differences of rewards matter, so a constant added to every reward of a group
    changes nothing. `valid_*` mask groups with fewer than P preferred or R rejected steps.
    rStar-Math section 3.3, equation 4.

    Raises:
        ValueError: a group has no pair. A group that teaches nothing is a data bug.
    """
    valid_GPR = valid_GP[:, :, None] & valid_GR[:, None, :]
    pairs_G = valid_GPR.sum(dim=(1, 2))
    if pairs_G.numel() == 0 or bool((pairs_G == 0).any()):
        raise ValueError("a group without a valid preference pair")
    margin_GPR = preferred_GP[:, :, None] - rejected_GR[:, None, :]
    loss_GPR = torch.where(valid_GPR, -F.logsigmoid(margin_GPR), 0.0)
    return (loss_GPR.sum(dim=(1, 2)) / pairs_G).mean()


def value_regression_loss(rewards_S: Tensor, values_S: Tensor) -> Tensor:
    """Mean squared error of the rewards against the Q of each step; S = lines in the batch.

    Raises:
        ValueError: nothing is trained. A batch that teaches nothing is a data bug.
    """
    if values_S.numel() == 0:
        raise ValueError("no valued step in the batch")
    return F.mse_loss(rewards_S.float(), values_S)


def pair_accuracy(
    preferred_GP: Tensor, rejected_GR: Tensor, valid_GP: Tensor, valid_GR: Tensor
) -> tuple[int, int]:
    """How many pairs are ranked right, and how many there are. A tie is not right."""
    valid_GPR = valid_GP[:, :, None] & valid_GR[:, None, :]
    right_GPR = (preferred_GP[:, :, None] > rejected_GR[:, None, :]) & valid_GPR
    return int(right_GPR.sum()), int(valid_GPR.sum())
