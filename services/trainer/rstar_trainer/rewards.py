"""What a PPM says of the lines of many groups, in one pass (rStar-Math section 3.3).

A line (question and steps) is scored by a scalar head at its last token.

Shape suffixes: S = lines in the batch, N = columns of a row, H = hidden size, G = groups,
P = preferred lines of a group, R = rejected lines of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rstar_common.scores import SCORE_DIVISOR
from rstar_trainer.batches import padded_length
from rstar_trainer.token_groups import TokenGroup


def rewards(model: PreTrainedModel, groups: Sequence[TokenGroup]) -> Tensor:
    """rewards_S of all lines, group by group: what the head says at the last token.

    Its tanh, in [-1, 1]; of a model that learns raw rewards, what it says itself.

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
    rewards_S: Tensor = model.score(hidden_GNH[row_S, last_S])[:, 0].float()
    return rewards_S if hasattr(model.config, SCORE_DIVISOR) else torch.tanh(rewards_S)


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
