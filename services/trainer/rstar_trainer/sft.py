"""Supervised fine-tuning of the policy on selected trajectories (rStar-Math section 3.4).

Trained are the tokens of steps, closing markers included. The question and what the system
writes (the program's output) are context. After the last step nothing is written.

Shape suffixes: B = sequences in the batch, T = positions, K = trained positions, H = hidden
size, V = vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rstar_common.formats import Encoder
from rstar_trainer.batches import endless, epoch_batches, padded_length
from rstar_trainer.checkpoint import recompute
from rstar_trainer.job import STATE_SECONDS
from rstar_trainer.loop import Report, StepResult, TrainingLoop
from rstar_trainer.losses import masked_cross_entropy
from rstar_trainer.ranks import ONE, Ranks
from rstar_trainer.selection import Example
from rstar_trainer.spec import Training

HELD_OUT_SHARE = 0.05
"""Of the questions. The policy and the PPM leave out the same: a PPM starts from a policy, and
pairs of questions whose solutions that policy has learned would flatter it."""

MOST_HELD_OUT = 512
"""Examples evaluated at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """An example as the model sees it."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...]


def tokenize(encoder: Encoder, example: Example) -> Tokens:
    """Token ids of an example, and which of them are learned."""
    ids = encoder.encode(encoder.format.question_pieces(example.question))
    trained = [False] * len(ids)
    for number, step in enumerate(example.steps, start=1):
        written = encoder.step_ids(step)
        shown = encoder.encode(encoder.format.after_step(step))
        if number == len(example.steps):
            shown = []
        ids += written + shown
        trained += [True] * len(written) + [False] * len(shown)
    return Tokens(ids=tuple(ids), trained=tuple(trained))


def held_out(question: str, share: float) -> bool:
    """Whether a question is kept from training; a function of its text alone."""
    digest = hashlib.sha256(question.encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def batch_tensors(examples: Sequence[Tokens], device: torch.device) -> tuple[Tensor, Tensor]:
    """Padded ids_BT and trained_BT. Padding comes last, so no causal position sees it."""
    longest = padded_length(max(len(example.ids) for example in examples))
    ids_BT = torch.zeros(len(examples), longest, dtype=torch.long)
    trained_BT = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids_BT[row, : len(example.ids)] = torch.tensor(example.ids)
        trained_BT[row, : len(example.ids)] = torch.tensor(example.trained)
    return ids_BT.to(device), trained_BT.to(device)


def trained_logits(
    model: PreTrainedModel, ids_BT: Tensor, trained_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """logits_KV and targets_K of the trained positions; no other logits are computed."""
    hidden_BTH = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
    # The token at t + 1 is predicted at t.
    hidden_KH = hidden_BTH[:, :-1][trained_BT[:, 1:]]
    return model.lm_head(hidden_KH), ids_BT[:, 1:][trained_BT[:, 1:]]


class _Task(nn.Module):
    """The computation as a module's call: what is sharded is gathered when it is called."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids_BT: Tensor, trained_BT: Tensor) -> tuple[Tensor, Tensor]:
        """As `trained_logits`."""
        return trained_logits(self.model, ids_BT, trained_BT)


def train_policy(
    model: PreTrainedModel,
    examples: Sequence[Tokens],
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
    lengths = [len(example.ids) for example in examples]
    padded = [padded_length(length) for length in lengths]
    device = next(model.parameters()).device

    def epoch(number: int) -> list[list[int]]:
        return epoch_batches(
            padded, batch_tokens=training.batch_tokens, seed=training.seed, epoch=number
        )

    def batches(start: int) -> Iterator[list[int]]:
        return endless(epoch, start=start)

    def step(batch: list[int]) -> StepResult:
        ids_BT, trained_BT = batch_tensors([examples[index] for index in batch], device)
        logits_KV, targets_K = task(ids_BT, trained_BT)
        return StepResult(
            loss=masked_cross_entropy(logits_KV, targets_K),
            weight=len(targets_K),
            tokens=sum(lengths[index] for index in batch),
        )

    loop = TrainingLoop(
        model=model,
        training=training,
        total_steps=training.steps(batches=len(epoch(0)), tokens=sum(lengths)),
        batches=batches,
        step=step,
        lengths=padded,
        report=report,
        state_file=state_file,
        state_seconds=state_seconds,
        should_stop=should_stop,
        autocast=autocast,
        ranks=ranks,
    )
    return loop.run()


@torch.inference_mode()
def evaluate_policy(
    model: PreTrainedModel, examples: Sequence[Tokens], *, batch_tokens: int
) -> dict[str, float]:
    """Loss on unseen questions, and the share of programs that greedy decoding would repeat.

    A program counts as exact if every one of its tokens is the most likely one after those
    before it: then greedy decoding writes exactly this program. Another program may be as right.
    """
    if not examples:
        return {}
    device = next(model.parameters()).device
    lengths = [len(example.ids) for example in examples]
    loss, tokens, exact = 0.0, 0, 0
    for batch in epoch_batches(lengths, batch_tokens=batch_tokens, seed=0, epoch=0):
        ids_BT, trained_BT = batch_tensors([examples[index] for index in batch], device)
        logits_KV, targets_K = trained_logits(model, ids_BT, trained_BT)
        loss += float(masked_cross_entropy(logits_KV, targets_K)) * len(targets_K)
        tokens += len(targets_K)
        right_K = logits_KV.argmax(dim=-1) == targets_K
        counts = trained_BT[:, 1:].sum(dim=1).tolist()
        exact += sum(bool(part.all()) for part in torch.split(right_K, counts))
    return {
        "held_out_loss": loss / tokens,
        "held_out_exact": exact / len(examples),
        "held_out_examples": float(len(examples)),
    }
