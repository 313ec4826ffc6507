"""A PPM job: trees and given pairs to preference groups, these and a policy to a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random

from rstar_common.errors import InvalidInput
from rstar_common.formats import Encoder
from rstar_trainer import checkpoint
from rstar_trainer.apart import Apart
from rstar_trainer.authors import read_pairs
from rstar_trainer.dataset import SearchTree, read_trees
from rstar_trainer.job import CHECKPOINT, STATE_FILE
from rstar_trainer.lessons import write_card, write_pairs
from rstar_trainer.lora import adapt, merge
from rstar_trainer.pairs import (
    PreferenceGroup,
    ValuedSteps,
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
    longest = min(training.max_length, int(model.config.max_position_embeddings))
    given = work.given(read_pairs)
    agreement = work.agreement()
    work.enter("pairing", 0.05)
    learned: list[TokenGroup] = []
    unseen: list[TokenGroup] = []
    varied: list[TokenGroup] = []
    taught: list[PreferenceGroup] = []
    rng, apart = Random(training.seed), work.apart()
    for tree in read_trees(work.files()):
        owned = tree.without(agreement.disowned(tree)) if agreement else tree
        # Unseen questions are always judged by pairs, so that objectives can be compared.
        if held_out(tree.question, HELD_OUT_SHARE):
            unseen += _pairs(owned, spec, encoder, longest)
        else:
            groups = _groups(owned, spec)
            taught += groups
            valued = valued_steps(owned) if spec.objective is Objective.Q_REGRESSION else []
            learned += _tokens(groups, encoder, longest) + _values(valued, encoder, longest)
            for _ in range(spec.variants):
                varied += _tokens(_group_variants(groups, rng, apart), encoder, longest)
                varied += _values(_valued_variants(valued, rng, apart), encoder, longest)
    given_learned = 0
    for group in given:
        tokens = _tokens([group], encoder, longest)
        if held_out(group.question, HELD_OUT_SHARE):
            unseen += tokens
        else:
            taught.append(group)
            learned += tokens
            given_learned += len(tokens)
    if not learned and spec.objective is Objective.PAIRWISE:
        learned = unseen
    if not learned and not training.untrained:
        raise InvalidInput("no preference pair, and none given", field="batch_ids")
    work.metrics |= {
        "groups": float(len(learned)),
        "final_groups": float(sum(group.final for group in learned)),
        "pairs": float(sum(len(g.preferred) * len(g.rejected) for g in learned)),
        "valued_steps": float(sum(len(g.values) for g in learned)),
        "groups_with_variants": float(len(learned) + len(varied)),
        "parameters": float(sum(p.numel() for p in model.parameters())),
        "agreement_filter": float(work.order.agreement_filter),
    }
    if spec.variants:
        work.metrics["variants_left_out"] = float(apart.left_out)
    if given:
        work.metrics["given_groups"] = float(given_learned)
    if work.ranks.first:
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
    )


def _groups(tree: SearchTree, spec: PpmSpec) -> list[PreferenceGroup]:
    """The preferences a tree teaches; none under regression."""
    match spec.objective:
        case Objective.OUTCOME:
            return outcome_groups(tree, per_side=spec.steps_per_side)
        case Objective.Q_REGRESSION:
            return []
    return preference_groups(tree, per_side=spec.steps_per_side, min_margin=spec.min_margin)


def _pairs(tree: SearchTree, spec: PpmSpec, encoder: Encoder, longest: int) -> list[TokenGroup]:
    groups = preference_groups(tree, per_side=spec.steps_per_side, min_margin=spec.min_margin)
    return _tokens(groups, encoder, longest)


def _tokens(groups: Iterable[PreferenceGroup], encoder: Encoder, longest: int) -> list[TokenGroup]:
    tokens = (tokenize_group(encoder, group, max_length=longest) for group in groups)
    return [group for group in tokens if group is not None]


def _values(valued: Iterable[ValuedSteps], encoder: Encoder, longest: int) -> list[TokenGroup]:
    tokens = (tokenize_values(encoder, steps, max_length=longest) for steps in valued)
    return [group for group in tokens if group is not None]


def _group_variants(
    groups: Sequence[PreferenceGroup], rng: Random, apart: Apart
) -> Iterator[PreferenceGroup]:
    """A variant of each group that has one which may be learned."""
    for group in groups:
        found = vary(group.question, [*group.preferred, *group.rejected], rng)
        if found and apart.allows(found[0]):
            question, paths = found
            yield replace(
                group,
                question=question,
                preferred=tuple(paths[: len(group.preferred)]),
                rejected=tuple(paths[len(group.preferred) :]),
            )


def _valued_variants(
    valued: Sequence[ValuedSteps], rng: Random, apart: Apart
) -> Iterator[ValuedSteps]:
    for steps in valued:
        found = vary(steps.question, steps.paths, rng)
        if found and apart.allows(found[0]):
            question, paths = found
            yield replace(steps, question=question, paths=tuple(paths))
