"""The training loop of both models: AdamW, warm-up, linear decay, resumable.

What is trained on at step i is a function of the seed and i alone, so a loop that goes on
from its saved state ends with the same weights as one that was never stopped (on a CPU,
with the same number of threads).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from rstar_common.errors import Cancelled
from rstar_trainer.job import Training

logger = logging.getLogger(__name__)

BETAS = (0.9, 0.95)
LARGEST_GRADIENT = 1.0
"""Norm to which gradients are cut."""

STATE_SECONDS = 20.0
"""How often the state is saved: the most work a kill can cost."""

REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a batch gives."""

    loss: Tensor
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
    report: Report
    state_file: Path | None = None
    should_stop: Callable[[], bool] = field(default=lambda: False)
    autocast: torch.dtype | None = None

    def run(self) -> dict[str, float]:
        """Train to the end, from the saved state if there is one; returns the last metrics.

        Raises:
            Cancelled: `should_stop` said so; the state is saved.
        """
        optimizer = _optimizer(self.model, self.training)
        start = self._restore(optimizer)
        batches = self.batches(start)
        self.model.train()
        began = saved = reported = time.monotonic()
        tokens, mean_loss = 0, float("nan")
        device = next(self.model.parameters()).device
        for step in range(start, self.total_steps):
            if self.should_stop():
                self._save(optimizer, step)
                raise Cancelled(f"stopped at step {step}")
            rate = self.training.learning_rate * schedule(
                step, self.total_steps, self.training.warmup_share
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(device.type, self.autocast, enabled=self.autocast is not None):
                result = self.step(next(batches))
            optimizer.zero_grad(set_to_none=True)
            result.loss.backward()  # type: ignore[no-untyped-call] # torch
            nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            tokens += result.tokens
            now = time.monotonic()
            if now - reported >= REPORT_SECONDS or step + 1 == self.total_steps:
                loss = float(result.loss.detach())
                mean_loss = loss if mean_loss != mean_loss else 0.8 * mean_loss + 0.2 * loss
                metrics = {
                    "loss": mean_loss,
                    "step": float(step + 1),
                    "steps": float(self.total_steps),
                    "learning_rate": rate,
                    "tokens_per_second": tokens / max(now - began, 1e-9),
                }
                self.report((step + 1) / self.total_steps, metrics)
                reported = now
            if now - saved >= STATE_SECONDS:
                self._save(optimizer, step + 1)
                saved = time.monotonic()
        self.model.eval()
        return {
            "loss": mean_loss,
            "steps": float(self.total_steps),
            "trained_tokens": float(tokens),
        }

    def _save(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        if self.state_file is None:
            return
        staging = self.state_file.with_suffix(".new")
        torch.save(
            {"step": step, "model": self.model.state_dict(), "optimizer": optimizer.state_dict()},
            staging,
        )
        os.replace(staging, self.state_file)  # noqa: PTH105 -- atomic; Path.replace is the same call

    def _restore(self, optimizer: torch.optim.Optimizer) -> int:
        if self.state_file is None or not self.state_file.exists():
            return 0
        state = torch.load(self.state_file, weights_only=True)
        self.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
        logger.info("resumed", extra={"step": step})
        return step


def schedule(step: int, total_steps: int, warmup_share: float) -> float:
    """Share of the learning rate at `step`: linear up, then linear down to zero."""
    warmup = max(1, round(total_steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return (total_steps - step) / max(1, total_steps - warmup)


def _optimizer(model: nn.Module, training: Training) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
        betas=BETAS,
        fused=True,
    )
