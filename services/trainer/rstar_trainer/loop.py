"""The training loop of both models: warm-up, linear decay, resumable.

What is trained on at step i is a function of the seed and i alone, so a loop that goes on
from its saved state ends with the same weights as one that was never stopped (on a CPU,
with the same number of threads and processes).
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.optim import Optimizer

from rstar_common.errors import Cancelled
from rstar_trainer.batches import parts_of
from rstar_trainer.job import STATE_SECONDS
from rstar_trainer.optimizers import optimizers_of
from rstar_trainer.ranks import Ranks
from rstar_trainer.spec import Training

logger = logging.getLogger(__name__)

LARGEST_GRADIENT = 1.0
"""Norm to which gradients are cut."""

STATE_SHARE = 0.05
"""Of the time, at most, goes into saving: the state of a large model takes long to write."""

CURVE_POINTS = 400
"""Of a run, at equal distances: the curve of a seed is the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a batch gives."""

    loss: Tensor
    """A mean."""

    weight: int
    """How many things it is the mean of: parts of a batch are put together by it."""

    tokens: int
    """Tokens of the batch, padding apart."""


Report = Callable[[float, dict[str, float]], None]


@dataclass(slots=True, kw_only=True)
class TrainingLoop:
    """Trains `model` for `total_steps`."""

    model: nn.Module
    training: Training
    total_steps: int
    batches: Callable[[int], Iterator[list[int]]]
    """Batches from a given step on."""

    step: Callable[[list[int]], StepResult]
    lengths: Sequence[int]
    """Tokens of each example, as batches count them."""

    report: Report
    state_file: Path | None = None
    state_seconds: float = STATE_SECONDS
    """How often the state is saved: the most work a kill can cost."""

    should_stop: Callable[[], bool] = field(default=lambda: False)
    autocast: torch.dtype | None = None
    ranks: Ranks = field(default_factory=Ranks)
    _data: str = field(init=False)
    """Tells sets of examples apart, and their tokenizers: the state of one is not another's."""

    def __post_init__(self) -> None:
        told = array("q", [self.total_steps, *self.lengths])
        self._data = hashlib.sha256(told.tobytes()).hexdigest()

    def run(self) -> dict[str, float]:
        """Train to the end, from the saved state if there is one; returns the last metrics.

        Raises:
            Cancelled: `should_stop` said so; the state is saved.
        """
        optimizers = optimizers_of(self.model, self.training, self.ranks)
        start, tokens, mean_loss = self._restore(optimizers)
        batches = self.batches(start)
        self.model.train()
        every = max(1, self.total_steps // CURVE_POINTS)
        began = saved = time.monotonic()
        pause = self.state_seconds
        before = tokens
        for step in range(start, self.total_steps):
            due = time.monotonic() - saved > pause
            stop, save = self.ranks.any(self.should_stop(), due)
            if stop or save:
                saving = time.monotonic()
                self._save(optimizers, step, tokens=tokens, mean_loss=mean_loss)
                saved = time.monotonic()
                pause = max(self.state_seconds, (saved - saving) / STATE_SHARE)
            if stop:
                raise Cancelled(f"stopped at step {step}")
            rate = self.training.learning_rate * schedule(
                step, self.total_steps, self.training.warmup_share
            )
            for group in (group for one in optimizers for group in one.param_groups):
                group["lr"] = rate
            loss, counted = self._learn(optimizers, next(batches))
            tokens += counted
            if step % every == 0 or step + 1 == self.total_steps:
                [whole] = self.ranks.sums(float(loss.detach()))
                whole /= self.ranks.world
                mean_loss = whole if math.isnan(mean_loss) else 0.8 * mean_loss + 0.2 * whole
                metrics = {
                    "loss": mean_loss,
                    "batch_loss": whole,
                    "step": float(step + 1),
                    "steps": float(self.total_steps),
                    "learning_rate": rate,
                    "tokens_per_second": (tokens - before) / max(time.monotonic() - began, 1e-9),
                }
                self.report((step + 1) / self.total_steps, metrics)
        self.model.eval()
        return {
            "loss": mean_loss,
            "steps": float(self.total_steps),
            "trained_tokens": tokens,
        }

    def _learn(self, optimizers: list[Optimizer], batch: list[int]) -> tuple[Tensor, float]:
        """One step; returns the loss, whose mean over the processes is the batch's, and tokens."""
        most = self.training.micro_batch_tokens
        parts = parts_of(self.ranks.part(batch), self.lengths, most)
        passes = max(1, self.ranks.most(len(parts)) if most else 1)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss, weight, tokens = torch.zeros(()), 0.0, 0.0
        for number in range(passes):
            part = parts[number] if number < len(parts) else []
            # All processes take part in every pass, also one without an example of its own.
            result = self._computed(part or batch[:1])
            own = float(result.weight) if part else 0.0
            # One pass alone keeps its mean: sums of large batches would lose digits.
            scaled = result.loss * own if passes > 1 or self.ranks.world > 1 else result.loss
            scaled.backward()  # type: ignore[no-untyped-call] # torch
            loss = loss + scaled.detach().cpu()
            weight, tokens = weight + own, tokens + (float(result.tokens) if part else 0.0)
        if passes > 1 or self.ranks.world > 1:
            total, tokens = self.ranks.sums(weight, tokens)
            # Gradients are averaged over the processes; the loss is a mean over the batch.
            scale = self.ranks.world / total
            loss = loss * scale
            for weights in self.model.parameters():
                if weights.grad is not None:
                    weights.grad.mul_(scale)
        nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        for optimizer in optimizers:
            optimizer.step()
        return loss, tokens

    def _computed(self, examples: list[int]) -> StepResult:
        kind = next(self.model.parameters()).device.type
        with torch.autocast(kind, self.autocast, enabled=self.autocast is not None):
            return self.step(examples)

    def _save(
        self, optimizers: list[Optimizer], step: int, *, tokens: float, mean_loss: float
    ) -> None:
        if self.state_file is None:
            return
        model, state = get_state_dict(self.model, optimizers, options=_WHOLE)
        if not self.ranks.first:
            return
        staging = self.state_file.with_suffix(".new")
        told = {"step": step, "tokens": tokens, "mean_loss": mean_loss, "data": self._data}
        torch.save({**told, "model": model, "optimizer": state}, staging)
        os.replace(staging, self.state_file)  # noqa: PTH105 -- atomic; Path.replace is the same call

    def _restore(self, optimizers: list[Optimizer]) -> tuple[int, float, float]:
        """Go on from the saved state; returns the step, the tokens and the mean loss so far."""
        if self.state_file is None or not self.state_file.exists():
            return 0, 0.0, math.nan
        state = torch.load(self.state_file, weights_only=True, map_location="cpu")
        if state.get("data", self._data) != self._data:
            logger.warning("the saved state is of other examples: beginning anew")
            return 0, 0.0, math.nan
        set_state_dict(
            self.model,
            optimizers,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=_WHOLE,
        )
        step = int(state["step"])
        logger.info("resumed", extra={"step": step})
        # The release before saved none of these.
        return step, float(state.get("tokens", 0.0)), float(state.get("mean_loss", math.nan))


_WHOLE = StateDictOptions(
    full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False
)
"""Of a sharded model too the state is one file, which any number of processes can go on from."""


def schedule(step: int, total_steps: int, warmup_share: float) -> float:
    """Share of the learning rate at `step`: linear up, then linear down to zero."""
    warmup = max(1, round(total_steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return (total_steps - step) / max(1, total_steps - warmup)
