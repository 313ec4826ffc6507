"""Training: what is learned, in which order, and that stopping changes nothing."""

from __future__ import annotations

from random import Random

import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from rstar_common.errors import Cancelled
from rstar_common.formats import MINI, Encoder, Marker
from rstar_trainer import checkpoint
from rstar_trainer.batches import epoch_batches, parts_of
from rstar_trainer.dataset import parse_tree
from rstar_trainer.loop import schedule
from rstar_trainer.optimizers import optimizers_of
from rstar_trainer.pairs import preference_groups
from rstar_trainer.policy_job import MOST_VARIANTS, enough_variants
from rstar_trainer.ppm_training import evaluate_ppm, train_ppm
from rstar_trainer.rewards import rewards
from rstar_trainer.selection import select_examples
from rstar_trainer.sft import evaluate_policy, tokenize, train_policy
from rstar_trainer.shared_muon import owners_of
from rstar_trainer.spec import POLICY_TRAINING, PPM_TRAINING, OptimizerKind
from rstar_trainer.token_groups import TokenGroup, tokenize_group
from rstar_trainer.tokenizer import train_tokenizer
from tests.support.arithmetic_trees import arithmetic_trees
from tests.support.models import TINY_SHAPE

TRAINING = POLICY_TRAINING.model_copy(update={"max_steps": 5, "batch_tokens": 256})


def ignore(share, metrics):
    """Nobody watches."""


@pytest.fixture(scope="module")
def trees():
    return [parse_tree(tree.SerializeToString()) for tree in arithmetic_trees(40, digits=1)]


@pytest.fixture(scope="module")
def selected(trees):
    return select_examples(trees, per_problem=1, agreement=None).examples


@pytest.fixture(scope="module")
def encoder(selected):
    corpus = [text for e in selected for text in (e.question, *(step.text for step in e.steps))]
    return Encoder(train_tokenizer(corpus, vocabulary_size=300), MINI)


@pytest.fixture(scope="module")
def examples(selected, encoder):
    return [tokenize(encoder, example) for example in selected]


def new_model(encoder):
    return checkpoint.random_policy(TINY_SHAPE, encoder._tokenizer, seed=7)


def trained(encoder, examples, **settings):
    model = new_model(encoder)
    defaults = {
        "report": ignore,
        "state_file": None,
        "should_stop": lambda: False,
        "training": TRAINING,
    }
    settings = defaults | settings
    train_policy(model, examples, settings.pop("training"), **settings)
    return model.state_dict()


def same(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_steps_and_their_closing_markers_are_learned_and_nothing_else(selected, encoder):
    tokens = tokenize(encoder, selected[0])
    learned = [i for i, trained in zip(tokens.ids, tokens.trained, strict=True) if trained]
    written = [i for step in selected[0].steps for i in encoder.step_ids(step)]
    assert learned == written
    assert tokens.ids[-1] == encoder.marker_ids[Marker.END_OF_CODE]
    question = encoder.encode(MINI.question_pieces(selected[0].question))
    assert list(tokens.ids[: len(question)]) == question


def test_the_same_seed_gives_the_same_weights(encoder, examples):
    assert same(trained(encoder, examples), trained(encoder, examples))
    other = TRAINING.model_copy(update={"seed": 1})
    assert not same(trained(encoder, examples), trained(encoder, examples, training=other))


def test_a_batch_in_parts_gives_the_weights_of_a_batch_at_once(encoder, examples):
    parts = TRAINING.model_copy(update={"micro_batch_tokens": 64, "recompute_activations": True})
    assert len(parts_of(range(len(examples)), [16] * len(examples), 64)) > 3
    whole = trained(encoder, examples)
    for name, tensor in trained(encoder, examples, training=parts).items():
        torch.testing.assert_close(tensor, whole[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("optimizer", OptimizerKind)
def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(
    encoder, examples, tmp_path, optimizer
):
    training = TRAINING.model_copy(update={"optimizer": optimizer})
    state_file = tmp_path / "state.pt"
    asked = iter([False, False, False, True])
    with pytest.raises(Cancelled):
        trained(
            encoder,
            examples,
            training=training,
            state_file=state_file,
            should_stop=lambda: next(asked),
        )
    told, told_at_once = [], []
    resumed = trained(
        encoder,
        examples,
        training=training,
        state_file=state_file,
        report=lambda share, metrics: told.append(metrics["loss"]),
    )
    at_once = trained(
        encoder,
        examples,
        training=training,
        report=lambda share, metrics: told_at_once.append(metrics["loss"]),
    )
    assert same(resumed, at_once)
    assert 0 < len(told) < len(told_at_once)
    assert told == told_at_once[-len(told) :]


def test_a_state_of_other_examples_is_begun_anew(encoder, examples, tmp_path):
    state_file = tmp_path / "state.pt"
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        trained(encoder, examples, state_file=state_file, should_stop=lambda: next(asked))
    fewer = examples[1:]
    assert same(trained(encoder, fewer, state_file=state_file), trained(encoder, fewer))


def test_muon_steps_the_layers_matrices_and_nothing_else(encoder):
    model = new_model(encoder)
    training = TRAINING.model_copy(update={"optimizer": OptimizerKind.MUON})
    muon, adamw = optimizers_of(model, training)
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def trained_by(optimizer):
        return {names[id(p)] for group in optimizer.param_groups for p in group["params"]}

    layers = {name for name, p in model.named_parameters() if p.dim() == 2 and ".layers." in name}
    assert trained_by(muon) == layers
    assert trained_by(muon) | trained_by(adamw) == set(names.values())


def test_work_is_shared_so_that_nobody_has_much_more():
    assert owners_of([1, 4, 2, 3], 2) == [0, 0, 1, 1]
    assert owners_of([5.0], 3) == [0]
    assert owners_of([], 2) == []


def test_training_lowers_the_loss_on_unseen_questions(encoder, examples):
    model = new_model(encoder)
    before = evaluate_policy(model, examples[:5], batch_tokens=512)
    train_policy(
        model,
        examples[5:],
        TRAINING.model_copy(update={"max_steps": 20, "learning_rate": 0.01}),
        report=ignore,
        state_file=None,
        should_stop=lambda: False,
    )
    after = evaluate_policy(model, examples[:5], batch_tokens=512)
    assert after["held_out_loss"] < before["held_out_loss"] / 2


def test_the_ppm_learns_to_rank(trees, encoder, tmp_path):
    checkpoint.save(
        new_model(encoder),
        encoder._tokenizer,
        tmp_path / "policy",
        kind="policy",
        prompt_format="mini",
        parents=[],
        batch_ids=[],
        metrics={},
    )
    model = checkpoint.load_ppm(tmp_path / "policy", seed=0)
    groups = [
        tokens
        for tree in trees
        for group in preference_groups(tree, per_side=2, min_margin=0.5)
        if (tokens := tokenize_group(encoder, group, max_length=512))
    ][:8]
    metrics = train_ppm(
        model,
        groups,
        PPM_TRAINING.model_copy(update={"max_steps": 40, "learning_rate": 0.01}),
        report=ignore,
        state_file=None,
        should_stop=lambda: False,
    )
    assert metrics["loss"] < 0.6  # ln 2 before anything is learned
    model.eval()
    assert evaluate_ppm(model, groups, batch_tokens=4096)["pair_accuracy"] > 0.7


def test_a_line_gets_the_reward_it_would_get_alone(encoder):
    model = _ppm()
    rng = Random(0)
    common = [rng.randrange(11, 250) for _ in range(9)]
    rests = [[rng.randrange(11, 250) for _ in range(n)] for n in (4, 1, 0, 7)]
    lines = [tuple(common + rest) for rest in rests]
    groups = [
        TokenGroup(preferred=tuple(lines[:2]), rejected=tuple(lines[2:]), final=False),
        TokenGroup(preferred=(lines[3],), rejected=((5, 6, 7), lines[0]), final=True),
    ]
    together = rewards(model, groups).tolist()
    alone = [
        torch.tanh(model(input_ids=torch.tensor([line])).logits[0, 0]).item()
        for group in groups
        for line in group.lines
    ]
    assert together == pytest.approx(alone, abs=1e-5)
    assert groups[0].tokens == 9 + 12


def _ppm():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=1,
        pad_token_id=0,
        attn_implementation="eager",
    )
    return LlamaForSequenceClassification(config).eval().requires_grad_(False)


def test_an_epoch_has_every_example_once_in_batches_of_the_size_asked_for():
    lengths = [10 + 7 * (n % 13) for n in range(500)]
    batches = epoch_batches(lengths, batch_tokens=600, seed=3, epoch=2)
    assert sorted(index for batch in batches for index in batch) == list(range(500))
    padded = [len(batch) * max(lengths[i] for i in batch) for batch in batches]
    assert max(padded) <= 600
    assert sum(padded) < 1.1 * sum(lengths)
    assert batches == epoch_batches(lengths, batch_tokens=600, seed=3, epoch=2)
    assert batches != epoch_batches(lengths, batch_tokens=600, seed=3, epoch=3)


def test_the_learning_rate_goes_up_and_then_down_to_nothing():
    rates = [schedule(step, 100, 0.1) for step in range(100)]
    assert rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_no_more_variants_are_made_than_the_steps_read():
    training = TRAINING.model_copy(update={"max_steps": 100, "batch_tokens": 1000})
    assert enough_variants(training, 40_000) == 3
    assert enough_variants(training, 10**9) == 1
    assert enough_variants(training, 1000) == MOST_VARIANTS
    assert enough_variants(training.model_copy(update={"max_steps": 0}), 40_000) == MOST_VARIANTS
