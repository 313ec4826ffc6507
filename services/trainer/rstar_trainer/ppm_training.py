"""Training of the process preference model (rStar-Math section 3.3).

A line (question and steps) is scored by tanh of a scalar head at its last token; the loss
is Bradley-Terry over the pairs of a group or, to compare with, regression on values.

Shape suffixes: S = lines in the batch, N = columns of a row, H = hidden size, G = groups,
P = preferred lines of a group, R = rejected lines of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rstar_common.formats import Encoder, PromptStep
from rstar_trainer.batches import endless, epoch_batches, padded_length
from rstar_trainer.checkpoint import recompute
from rstar_trainer.job import STATE_SECONDS, Training
from rstar_trainer.loop import Report, StepResult, TrainingLoop
from rstar_trainer.losses import (
    pair_accuracy,
    pairwise_ranking_loss,
    value_regression_loss,
)
from rstar_trainer.pairs import PreferenceGroup, ValuedSteps
from rstar_trainer.ranks import ONE, Ranks

Line = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGroup:
    """A preference group as the model sees it."""

    preferred: tuple[Line, ...]
    rejected: tuple[Line, ...]
    final: bool
    values: tuple[float, ...] = ()
    """The Q of each line, where that is what is learned; then there are no sides."""

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.preferred + self.rejected

    @property
    def common(self) -> int:
        """How many tokens all lines begin with."""
        columns = zip(*self.lines, strict=False)
        return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))

    @property
    def tokens(self) -> int:
        """What is computed for it: what the lines have in common counts once."""
        common = self.common
        return common + sum(len(line) - common for line in self.lines)


def tokenize_group(
    encoder: Encoder, group: PreferenceGroup, *, max_length: int
) -> TokenGroup | None:
    """Token ids of a group, or None if no pair of it fits `max_length`."""

    def lines(paths: Sequence[Sequence[PromptStep]]) -> tuple[Line, ...]:
        encoded = (tuple(encoder.prompt_ids(group.question, path)) for path in paths)
        return tuple(line for line in encoded if len(line) <= max_length)

    preferred, rejected = lines(group.preferred), lines(group.rejected)
    if not (preferred and rejected):
        return None
    return TokenGroup(preferred=preferred, rejected=rejected, final=group.final)


def tokenize_values(encoder: Encoder, steps: ValuedSteps, *, max_length: int) -> TokenGroup | None:
    """Token ids of siblings with their values, or None if none fits `max_length`."""
    encoded = [tuple(encoder.prompt_ids(steps.question, path)) for path in steps.paths]
    kept = [
        (line, value)
        for line, value in zip(encoded, steps.values, strict=True)
        if len(line) <= max_length
    ]
    if not kept:
        return None
    lines, values = zip(*kept, strict=True)
    return TokenGroup(preferred=lines, rejected=(), final=False, values=values)


def rewards(model: PreTrainedModel, groups: Sequence[TokenGroup]) -> Tensor:
    """rewards_S in [-1, 1] of all lines, group by group: tanh of the head at the last token.

    A row is a group: what its lines have in common once, then the rest of each. A rest sees the
    common part and itself, so every line gets the reward it would get alone.
    """
    device = next(model.parameters()).device
    rows = [_Row.of(group) for group in groups]
    longest = padded_length(max(len(row.ids) for row in rows))
    ids_GN = torch.zeros(len(rows), longest, dtype=torch.long)
    positions_GN = torch.zeros(len(rows), longest, dtype=torch.long)
    seen_GNN = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1)
    for number, row in enumerate(rows):
        ids_GN[number, : len(row.ids)] = torch.tensor(row.ids)
        positions_GN[number, : len(row.ids)] = torch.tensor(row.positions)
        causal_NN = torch.ones(len(row.ids), len(row.ids), dtype=torch.bool).tril_()
        for start, end in row.rests:
            causal_NN[start:end, row.common : start] = False
        seen_GNN[number, : len(row.ids), : len(row.ids)] = causal_NN
    hidden_GNH = model.base_model(
        input_ids=ids_GN.to(device),
        position_ids=positions_GN.to(device),
        attention_mask=_additive(seen_GNN[:, None]).to(device),
        use_cache=False,
    ).last_hidden_state
    row_S = [number for number, row in enumerate(rows) for _ in row.last]
    last_S = [column for row in rows for column in row.last]
    return torch.tanh(model.score(hidden_GNH[row_S, last_S])[:, 0].float())


def _additive(seen: Tensor) -> Tensor:
    """Zero where seen, the most negative number elsewhere: what plain attention adds."""
    return torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    ids: list[int]
    positions: list[int]
    common: int
    """Tokens that all lines begin with."""

    rests: list[tuple[int, int]]
    """Columns of what each line adds, end excluded."""

    last: list[int]
    """Column of each line's last token."""

    @classmethod
    def of(cls, group: TokenGroup) -> _Row:
        """Lay a group out."""
        common = group.common
        ids = list(group.lines[0][:common])
        positions = list(range(common))
        rests: list[tuple[int, int]] = []
        for line in group.lines:
            rests.append((len(ids), len(ids) + len(line) - common))
            ids += line[common:]
            positions += range(common, len(line))
        last = [end - 1 if end > start else common - 1 for start, end in rests]
        return cls(ids=ids, positions=positions, common=common, rests=rests, last=last)


@dataclass(frozen=True, slots=True)
class GroupRewards:
    """Rewards arranged by group, with masks for groups that are smaller than the largest."""

    preferred_GP: Tensor
    rejected_GR: Tensor
    valid_GP: Tensor
    valid_GR: Tensor


def arrange(rewards_S: Tensor, groups: Sequence[TokenGroup]) -> GroupRewards:
    """Put the rewards of all lines of `groups`, in order, into padded rows."""
    parts: list[Tensor] = []
    start = 0
    for group in groups:
        for size in (len(group.preferred), len(group.rejected)):
            parts.append(rewards_S[start : start + size])
            start += size
    pad = torch.nn.utils.rnn.pad_sequence
    return GroupRewards(
        preferred_GP=pad(parts[0::2], batch_first=True),
        rejected_GR=pad(parts[1::2], batch_first=True),
        valid_GP=pad([torch.ones_like(part, dtype=torch.bool) for part in parts[0::2]], True),
        valid_GR=pad([torch.ones_like(part, dtype=torch.bool) for part in parts[1::2]], True),
    )


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
