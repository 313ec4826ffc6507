"""Losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from rstar_trainer.losses import masked_cross_entropy, pair_accuracy, pairwise_ranking_loss

PREFERRED = torch.tensor([[1.0, 0.0], [0.5, 9.0]])
REJECTED = torch.tensor([[-1.0], [0.5]])
VALID_P = torch.tensor([[True, True], [True, False]])
VALID_R = torch.tensor([[True], [True]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_the_ranking_loss_is_a_mean_over_the_pairs_of_each_group_then_over_groups():
    first = (softplus(-2.0) + softplus(-1.0)) / 2
    second = softplus(0.0)
    loss = pairwise_ranking_loss(PREFERRED, REJECTED, VALID_P, VALID_R)
    assert loss.item() == pytest.approx((first + second) / 2)


def test_a_constant_added_to_all_rewards_of_a_group_changes_nothing():
    shift = torch.tensor([[3.0], [-7.0]])
    assert pairwise_ranking_loss(
        PREFERRED + shift, REJECTED + shift, VALID_P, VALID_R
    ).item() == pytest.approx(pairwise_ranking_loss(PREFERRED, REJECTED, VALID_P, VALID_R).item())


def test_masked_rewards_get_no_gradient():
    preferred = PREFERRED.clone().requires_grad_()
    pairwise_ranking_loss(preferred, REJECTED, VALID_P, VALID_R).backward()
    assert preferred.grad[1, 1] == 0
    assert (preferred.grad[VALID_P] < 0).all()


def test_a_group_without_a_pair_is_a_bug():
    with pytest.raises(ValueError, match="pair"):
        pairwise_ranking_loss(PREFERRED, REJECTED, VALID_P, torch.tensor([[True], [False]]))


def test_pair_accuracy_counts_a_tie_as_wrong():
    assert pair_accuracy(PREFERRED, REJECTED, VALID_P, VALID_R) == (2, 3)


def test_cross_entropy_is_the_mean_over_trained_positions():
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    loss = masked_cross_entropy(logits, torch.tensor([1, 0]))
    assert loss.item() == pytest.approx((math.log(2.0) + math.log(4 / 3)) / 2)
    with pytest.raises(ValueError, match="trained"):
        masked_cross_entropy(logits[:0], torch.tensor([], dtype=torch.long))
