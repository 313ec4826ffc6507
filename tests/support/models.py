"""Tiny checkpoints with random weights, written by the trainer's own code."""

from __future__ import annotations

from pathlib import Path

from rstar_common.checkpoints import Manifest
from rstar_trainer import checkpoint
from rstar_trainer.spec import Shape
from rstar_trainer.tokenizer import train_tokenizer

TINY_SHAPE = Shape(
    hidden_size=32,
    layers=2,
    heads=4,
    key_value_heads=2,
    intermediate_size=64,
    vocabulary_size=300,
    max_positions=512,
)

CORPUS = ["What is 12 plus 34?", "# Step 1: add\nr = 12 + 34", "print(r)"]


def write_policy(directory: Path, *, seed: int = 0) -> Manifest:
    """A policy checkpoint in `directory`."""
    tokenizer = train_tokenizer(CORPUS, vocabulary_size=TINY_SHAPE.vocabulary_size)
    model = checkpoint.random_policy(TINY_SHAPE, tokenizer, seed=seed)
    return checkpoint.save(
        model,
        tokenizer,
        directory,
        kind="policy",
        prompt_format="mini",
        parents=[],
        batch_ids=[],
        metrics={},
    )


def write_ppm(directory: Path, *, seed: int = 0) -> Manifest:
    """A PPM checkpoint in `directory`, with the body of `write_policy`'s of the same seed."""
    policy = directory.with_name(directory.name + "-policy")
    write_policy(policy, seed=seed)
    return checkpoint.save(
        checkpoint.load_ppm(policy, seed=seed),
        checkpoint.load_tokenizer(policy),
        directory,
        kind="ppm",
        prompt_format="mini",
        parents=[],
        batch_ids=[],
        metrics={},
    )
