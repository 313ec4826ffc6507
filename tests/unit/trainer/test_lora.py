"""Adapters: what they train, and what is left of them."""

from __future__ import annotations

import torch

from rstar_trainer import checkpoint
from rstar_trainer.lora import adapt, merge
from rstar_trainer.spec import POLICY_TRAINING
from rstar_trainer.tokenizer import train_tokenizer
from tests.support.models import CORPUS, TINY_SHAPE

TRAINING = POLICY_TRAINING.model_copy(update={"lora_rank": 4})


def new_model():
    tokenizer = train_tokenizer(CORPUS, vocabulary_size=TINY_SHAPE.vocabulary_size)
    return checkpoint.random_policy(TINY_SHAPE, tokenizer, seed=0)


def logits(model):
    return model(input_ids=torch.arange(12)[None]).logits


def test_fresh_adapters_change_nothing_and_are_all_that_is_trained():
    model = new_model()
    before = logits(model)
    adapt(model, TRAINING)
    assert torch.equal(logits(model), before)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all(name.endswith((".up", ".down")) for name in trained)


def test_a_merged_model_says_what_the_adapted_one_said_and_has_the_old_weights_names():
    model = new_model()
    names = list(model.state_dict())
    adapt(model, TRAINING)
    before = logits(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(".up"):
                weight.normal_()
    adapted = logits(model)
    assert not torch.allclose(adapted, before, atol=1e-3)
    merge(model)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(logits(model), adapted, atol=1e-4, rtol=1e-4)
    assert all(weight.requires_grad for weight in model.parameters())


def test_without_a_rank_all_weights_are_trained():
    model = new_model()
    adapt(model, POLICY_TRAINING)
    assert all(weight.requires_grad for weight in model.parameters())
