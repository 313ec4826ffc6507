"""Training of the process preference model (rStar-Math section 3.3).

The loss is Bradley-Terry over the pairs of a group or, to compare with, regression on values.

Shape suffixes: S = lines in the batch, G = groups, P = preferred lines of a group, R = rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rstar_trainer.batches import endless, epoch_batches, padded_length
from rstar_trainer.checkpoint import recompute
from rstar_trainer.job import STATE_SECONDS
from rstar_trainer.loop import Report, StepResult, TrainingLoop
from rstar_trainer.losses import pair_accuracy, pairwise_ranking_loss, value_regression_loss
from rstar_trainer.ranks import ONE, Ranks
from rstar_trainer.rewards import GroupRewards, arrange, rewards
from rstar_trainer.spec import Training
from rstar_trainer.token_groups import TokenGroup


def _score_groups(model: PreTrainedModel, groups: Sequence[TokenGroup]) -> GroupRewards:
    return arrange(rewards(model, groups), groups)


def _loss(model: PreTrainedModel, groups: Sequence[TokenGroup]) -> Tensor:
    """Regression on groups that have values, Bradley-Terry on the others; never mixed."""
    if groups[0].values:
        rewards_S = rewards(model, groups)
        values_S = torch.tensor([value for group in groups for value in group.values])
        return value_regression_loss(rewards_S, values_S.to(rewards_S.device))
    scored = _score_groups(model, groups)
    return pairwise_ranking_loss(
        scored.preferred_GP, scored.rejected_GR, scored.valid_GP, scored.valid_GR
    )


class _Task(nn.Module):
    """The loss as a module's call: what is sharded is gathered when it is called."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, groups: Sequence[TokenGroup]) -> Tensor:
        """The loss of `groups`."""
        return _loss(self.model, groups)


def train_ppm(
    model: PreTrainedModel,
    groups: Sequence[TokenGroup],
    training: Training,
    *,
    report: Report,
    state_file: Path | None,
    should_stop: Callable[[], bool],
    state_seconds: float = STATE_SECONDS,
    autocast: torch.dtype | None = None,
    ranks: Ranks = ONE,
) -> dict[str, float]:
    """Train `model` in place; returns its metrics."""
    recompute(model, training)
    task = ranks.share(_Task(model), model, training)
    costs = [group.tokens for group in groups]

    def epoch(number: int) -> list[list[int]]:
        return epoch_batches(
            [padded_length(cost) for cost in costs],
            batch_tokens=training.batch_tokens,
            seed=training.seed,
            epoch=number,
        )

    def batches(start: int) -> Iterator[list[int]]:
        return endless(epoch, start=start)

    def step(batch: list[int]) -> StepResult:
        chosen = [groups[index] for index in batch]
        return StepResult(
            loss=task(chosen),
            weight=sum(len(group.values) for group in chosen) or len(chosen),
            tokens=sum(costs[index] for index in batch),
        )

    loop = TrainingLoop(
        model=model,
        training=training,
        total_steps=training.steps(batches=len(epoch(0)), tokens=sum(costs)),
        batches=batches,
        step=step,
        lengths=[padded_length(cost) for cost in costs],
        report=report,
        state_file=state_file,
        state_seconds=state_seconds,
        should_stop=should_stop,
        autocast=autocast,
        ranks=ranks,
    )
    return loop.run()


@torch.inference_mode()
def evaluate_ppm(
    model: PreTrainedModel, groups: Sequence[TokenGroup], *, batch_tokens: int
) -> dict[str, float]:
    """Share of the pairs of unseen questions that are ranked right: steps and answers apart."""
    counts = {True: [0, 0], False: [0, 0]}
    costs = [group.tokens for group in groups]
    for final in counts:
        chosen = [index for index, group in enumerate(groups) if group.final is final]
        order = epoch_batches(
            [costs[index] for index in chosen], batch_tokens=batch_tokens, seed=0, epoch=0
        )
        for batch in order:
            scored = _score_groups(model, [groups[chosen[index]] for index in batch])
            right, total = pair_accuracy(
                scored.preferred_GP, scored.rejected_GR, scored.valid_GP, scored.valid_GR
            )
            counts[final][0] += right
            counts[final][1] += total
    metrics: dict[str, float] = {}
    for name, (right, total) in (
        ("pair_accuracy", [sum(pair) for pair in zip(*counts.values(), strict=True)]),
        ("step_pair_accuracy", counts[False]),
        ("final_pair_accuracy", counts[True]),
    ):
        if total:
            metrics |= {name: right / total, f"{name}_pairs": float(total)}
    return metrics
