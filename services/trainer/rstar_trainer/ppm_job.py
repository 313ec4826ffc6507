"""A PPM job: trees and given pairs to preference groups, these and a policy to a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from rstar_common.errors import InvalidInput
from rstar_common.formats import Encoder
from rstar_common.scores import RAW_SCORE_DIVISOR, SCORE_DIVISOR
from rstar_trainer import checkpoint
from rstar_trainer.apart import Apart
from rstar_trainer.authors import read_pairs
from rstar_trainer.datacard import VARIANTS_OF_EACH, write_card
from rstar_trainer.dataset import SearchTree, read_trees
from rstar_trainer.job import CHECKPOINT, STATE_FILE
from rstar_trainer.lessons import write_pairs, write_values
from rstar_trainer.lora import adapt, merge
from rstar_trainer.pairs import (
    PreferenceGroup,
    ValuedSteps,
    distinct,
    outcome_groups,
    preference_groups,
    valued_steps,
)
from rstar_trainer.path_variation import vary
from rstar_trainer.ppm_training import evaluate_ppm, train_ppm
from rstar_trainer.sft import HELD_OUT_SHARE, held_out
from rstar_trainer.spec import Objective, PpmSpec
from rstar_trainer.token_groups import TokenGroup, tokenize_group, tokenize_values
from rstar_trainer.work import Work, prompt_format


def make_ppm(work: Work, spec: PpmSpec) -> None:
    """Carry out a PPM job."""
    training = spec.training
    written = prompt_format(checkpoint.read_prompt_format(work.base))
    tokenizer = checkpoint.load_tokenizer(work.base)
    encoder = Encoder(tokenizer, written)
    model = checkpoint.load_ppm(work.base, seed=training.seed).to(work.device)
    if spec.raw_rewards:
        setattr(model.config, SCORE_DIVISOR, RAW_SCORE_DIVISOR)
    longest = min(training.max_length, int(model.config.max_position_embeddings))
    given = work.given(read_pairs)
    agreement = work.agreement()
    work.enter("pairing", 0.05)
    trees = read_trees(work.files(), batch_ids=spec.batch_ids)
    owned = (tree.without(agreement.disowned(tree)) if agreement else tree for tree in trees)
    found = find_lessons(owned, spec)
    # What was given is taught as it is, also what trees teach already.
    given_taught = [group for group in given if not held_out(group.question, HELD_OUT_SHARE)]
    given_measured = [group for group in given if held_out(group.question, HELD_OUT_SHARE)]
    taught = [*found.groups, *given_taught]
    given_learned = _tokens(given_taught, encoder, longest)
    learned = _tokens(found.groups, encoder, longest) + _values(found.valued, encoder, longest)
    learned += given_learned
    unseen = _tokens([*found.measured, *given_measured], encoder, longest)
    rng, apart = Random(training.seed), work.apart()
    varied = _tokens(group_variants(found.groups, spec.variants, rng, apart), encoder, longest)
    varied += _values(valued_variants(found.valued, spec.variants, rng, apart), encoder, longest)
    if not learned and spec.objective is Objective.PAIRWISE:
        # Of so few there is nothing to keep apart, and to measure.
        taught, learned, unseen = [*found.measured, *given_measured], unseen, []
    if not learned and not training.untrained:
        raise InvalidInput("no preference pair, and none given", field="batch_ids")
    work.metrics |= {
        "groups": float(len(learned)),
        "final_groups": float(sum(group.final for group in learned)),
        "pairs": float(sum(len(g.preferred) * len(g.rejected) for g in learned)),
        "repeated_pairs": float(found.repeated_pairs),
        "valued_steps": float(sum(len(g.values) for g in learned)),
        "groups_with_variants": float(len(learned) + len(varied)),
        "parameters": float(sum(p.numel() for p in model.parameters())),
        "agreement_filter": float(work.order.agreement_filter),
    }
    if spec.variants:
        work.metrics |= {
            VARIANTS_OF_EACH: float(spec.variants),
            "variants_left_out": float(apart.left_out),
        }
    if given:
        work.metrics["given_groups"] = float(len(given_learned))
    if work.ranks.first and spec.objective is Objective.Q_REGRESSION:
        write_values(work.lessons, found.valued)
    elif work.ranks.first:
        write_pairs(work.lessons, taught)
    if not training.untrained:
        adapt(model, training)
        work.enter("training", 0.1)
        work.metrics |= train_ppm(
            model,
            [*learned, *varied],
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
    work.metrics |= evaluate_ppm(model, unseen, batch_tokens=training.batch_tokens)
    work.enter("saving", 0.98)
    write_card(work.lessons, work.order, work.metrics)
    checkpoint.save(
        model,
        tokenizer,
        work.directory / CHECKPOINT,
        kind="ppm",
        prompt_format=written.name,
        parents=work.order.parents,
        batch_ids=spec.batch_ids,
        metrics=work.metrics,
        data_digests=spec.data_digests,
        origin=work.order.origin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What trees teach a PPM."""

    groups: list[PreferenceGroup]
    valued: list[ValuedSteps]
    """Siblings with their Q, under regression alone."""

    measured: list[PreferenceGroup]
    """Of questions that are kept from training."""

    repeated_pairs: int
    """Pairs of trees that an earlier tree, or a final group of another, has as well."""


def find_lessons(trees: Iterable[SearchTree], spec: PpmSpec) -> Found:
    """What `trees` teach; no pair twice, however many of them ask the same question."""
    groups: list[PreferenceGroup] = []
    valued: list[ValuedSteps] = []
    measured: list[PreferenceGroup] = []
    for tree in trees:
        # Unseen questions are always judged by pairs, so that objectives can be compared.
        if held_out(tree.question, HELD_OUT_SHARE):
            measured += _preferences(tree, spec)
        elif spec.objective is Objective.Q_REGRESSION:
            valued += valued_steps(tree)
        else:
            groups += _groups(tree, spec)
    once = distinct(groups)
    return Found(
        groups=once,
        valued=valued,
        measured=distinct(measured),
        repeated_pairs=sum(one.pairs for one in groups) - sum(one.pairs for one in once),
    )


def _groups(tree: SearchTree, spec: PpmSpec) -> list[PreferenceGroup]:
    """The preferences a tree teaches."""
    if spec.objective is Objective.OUTCOME:
        return outcome_groups(tree, per_side=spec.steps_per_side)
    return _preferences(tree, spec)


def _preferences(tree: SearchTree, spec: PpmSpec) -> list[PreferenceGroup]:
    return preference_groups(
        tree,
        per_side=spec.steps_per_side,
        min_margin=spec.min_margin,
        min_edit_distance=spec.min_edit_distance,
    )


def _tokens(groups: Iterable[PreferenceGroup], encoder: Encoder, longest: int) -> list[TokenGroup]:
    tokens = (tokenize_group(encoder, group, max_length=longest) for group in groups)
    return [group for group in tokens if group is not None]


def _values(valued: Iterable[ValuedSteps], encoder: Encoder, longest: int) -> list[TokenGroup]:
    tokens = (tokenize_values(encoder, steps, max_length=longest) for steps in valued)
    return [group for group in tokens if group is not None]


def group_variants(
    groups: Sequence[PreferenceGroup], count: int, rng: Random, apart: Apart
) -> Iterator[PreferenceGroup]:
    """`count` variants of each group, as far as it has some that may be learned.

    They depend on what rows of the data set hold, so that these are enough to make them again.
    """
    for group in (group for _ in range(count) for group in groups):
        found = vary(group.question, [*group.preferred, *group.rejected], rng)
        if found and apart.allows(found[0]):
            question, paths = found
            yield replace(
                group,
                question=question,
                preferred=tuple(paths[: len(group.preferred)]),
                rejected=tuple(paths[len(group.preferred) :]),
            )


def valued_variants(
    valued: Sequence[ValuedSteps], count: int, rng: Random, apart: Apart
) -> Iterator[ValuedSteps]:
    """`count` variants of each step and its siblings, likewise."""
    for steps in (steps for _ in range(count) for steps in valued):
        found = vary(steps.question, steps.paths, rng)
        if found and apart.allows(found[0]):
            question, paths = found
            yield replace(steps, question=question, paths=tuple(paths))
