"""A policy job: trees and given examples to a data set, that to a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random

from rstar_common.errors import InvalidInput
from rstar_common.formats import Encoder
from rstar_common.spread import spread
from rstar_trainer import checkpoint
from rstar_trainer.apart import Apart
from rstar_trainer.authors import read_sft
from rstar_trainer.choice import draw_examples
from rstar_trainer.datacard import VARIANTS_OF_EACH, write_card
from rstar_trainer.dataset import SearchTree, read_trees
from rstar_trainer.job import CHECKPOINT, STATE_FILE
from rstar_trainer.lessons import write_examples, write_refused
from rstar_trainer.lora import adapt, merge
from rstar_trainer.selection import Example, Selection, select_examples
from rstar_trainer.sft import (
    HELD_OUT_SHARE,
    MOST_HELD_OUT,
    Tokens,
    evaluate_policy,
    held_out,
    tokenize,
    train_policy,
)
from rstar_trainer.spec import Choice, PolicySpec, Training
from rstar_trainer.tokenizer import train_tokenizer
from rstar_trainer.variation import Variation
from rstar_trainer.work import Work, prompt_format

MOST_VARIANTS = 24
"""Of each example, for a model made from random weights."""


def make_policy(work: Work, spec: PolicySpec) -> None:
    """Carry out a policy job."""
    training = spec.training
    written = prompt_format(spec.prompt_format)
    batches: dict[str, str] = {}
    selection = _selected(work, spec, batches)
    given = work.given(read_sft)
    examples = [*selection.examples, *given]
    work.tell(0.04, _counts(selection))
    if not examples:
        raise InvalidInput("no right trajectory and no example given", field="batch_ids")
    if work.ranks.first:
        write_examples(work.lessons, examples, batches)
        write_refused(work.lessons, selection.refused)
    if work.order.base:
        work.enter("loading the base", 0.05)
        tokenizer = checkpoint.load_tokenizer(work.base)
        model = checkpoint.load_policy(work.base)
        checkpoint.add_markers(model, tokenizer)
    else:
        work.enter("training the tokenizer", 0.05)
        corpus = [
            text
            for example in [
                *examples,
                *_varied(selection.examples, training.seed, 2, work.apart()),
            ]
            for text in (example.question, *(step.text for step in example.steps))
        ]
        tokenizer = train_tokenizer(corpus, vocabulary_size=spec.shape.vocabulary_size)
        model = checkpoint.random_policy(spec.shape, tokenizer, seed=training.seed)
    model.to(work.device)
    encoder = Encoder(tokenizer, written)
    longest = min(training.max_length, int(model.config.max_position_embeddings))
    learned: list[Tokens] = []
    unseen: list[Tokens] = []
    given_learned = 0
    for index, example in enumerate(examples):
        tokens = tokenize(encoder, example)
        if len(tokens.ids) > longest:
            continue
        if held_out(example.question, HELD_OUT_SHARE):
            unseen.append(tokens)
        else:
            learned.append(tokens)
            given_learned += index >= len(selection.examples)
    if not work.order.base:
        taught = [e for e in selection.examples if not held_out(e.question, HELD_OUT_SHARE)]
        count = enough_variants(training, sum(len(tokens.ids) for tokens in learned))
        apart = work.apart()
        varied = (tokenize(encoder, e) for e in _varied(taught, training.seed, count, apart))
        learned += [tokens for tokens in varied if len(tokens.ids) <= longest]
        work.metrics |= {
            VARIANTS_OF_EACH: float(count),
            "variants_left_out": float(apart.left_out),
        }
    if not learned:  # of so few there is nothing to keep apart, and to measure
        learned, unseen = unseen, []
    if not learned:
        raise InvalidInput(f"no example has {longest} tokens or fewer", field="training.max_length")
    work.metrics |= {
        "training_examples": float(len(learned)),
        "parameters": float(sum(p.numel() for p in model.parameters())),
        "agreement_filter": float(work.order.agreement_filter),
    }
    if given:
        work.metrics["given_examples"] = float(given_learned)
    if not training.untrained:
        adapt(model, training)
        work.enter("training", 0.1)
        work.metrics |= train_policy(
            model,
            learned,
            training,
            report=work.told_training,
            state_file=work.directory / STATE_FILE,
            should_stop=lambda: work.stopping,
            state_seconds=work.order.state_seconds,
            autocast=work.autocast,
            ranks=work.ranks,
        )
        model = work.ranks.gathered(model, training)
        merge(model)
    if not work.ranks.first:
        return
    work.enter("evaluating", 0.95)
    model.to(work.device).eval()
    work.metrics |= evaluate_policy(
        model, spread(unseen, MOST_HELD_OUT), batch_tokens=training.batch_tokens
    )
    work.enter("saving", 0.98)
    write_card(work.lessons, work.order, work.metrics)
    checkpoint.save(
        model,
        tokenizer,
        work.directory / CHECKPOINT,
        kind="policy",
        prompt_format=written.name,
        parents=work.order.parents,
        batch_ids=spec.batch_ids,
        metrics=work.metrics,
        data_digests=spec.data_digests,
        origin=work.order.origin,
    )


def enough_variants(training: Training, tokens: int) -> int:
    """How many variants of each example there is time for; the examples have so many `tokens`."""
    if not training.max_steps or not tokens:
        return MOST_VARIANTS
    return min(MOST_VARIANTS, math.ceil(training.max_steps * training.batch_tokens / tokens))


def _selected(work: Work, spec: PolicySpec, batches: dict[str, str]) -> Selection:
    """What is learned of the trees; notes in `batches` which batch each search is of."""

    def noted() -> Iterator[SearchTree]:
        for tree in read_trees(work.files(), batch_ids=spec.batch_ids):
            batches[tree.search_id] = tree.batch_id
            yield tree

    trees, agreement = noted(), work.agreement()
    most = spec.trajectories_per_problem
    if spec.choice is Choice.RANDOM:
        return draw_examples(trees, per_problem=most, agreement=agreement, seed=spec.training.seed)
    return select_examples(trees, per_problem=most, agreement=agreement)


def _varied(examples: Sequence[Example], seed: int, count: int, apart: Apart) -> Iterator[Example]:
    """`count` variants of each example, but for those that ask what is to be kept apart."""
    rng = Random(seed)
    variation = Variation(examples)
    for example in examples:
        for _ in range(count):
            variant = variation.variant(example, rng)
            if apart.allows(variant.question):
                yield variant


def _counts(selection: Selection) -> dict[str, float]:
    return {
        "problems": float(selection.problems),
        "solved_problems": float(selection.solved),
        "examples": float(len(selection.examples)),
        "right_trajectories": float(selection.right),
        "disowned_trajectories": float(selection.disowned),
        "refused_problems": float(len(selection.refused)),
    }
