"""Which examples train together: batches of like length, a pure function of seed and epoch.

Padding is computed for nothing, so neighbours should be of like length; but a batch of one
length is a batch of one kind, which makes for noisy gradients. So an epoch is shuffled,
cut into windows of several batches, and sorted by length only within a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

WINDOW_BATCHES = 16
"""Batches that are sorted together; with 16 some 6 % of the tokens are padding."""

LENGTH_STEP = 16
"""Lengths are rounded up to a multiple of this: each new shape is compiled, and kept, by the CPU's
matrix library, which costs a fifth of the time and 3 MB a shape."""


def padded_length(length: int) -> int:
    """The columns a sequence of this length takes in a batch."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def epoch_batches(
    lengths: Sequence[int], *, batch_tokens: int, seed: int, epoch: int
) -> list[list[int]]:
    """Indices of each batch of an epoch; each index is in exactly one."""
    # A string seeds `Random` alike in every process, which a tuple does not.
    rng = Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches: list[list[int]] = []
    window: list[int] = []
    tokens = 0
    for index in order:
        window.append(index)
        tokens += lengths[index]
        if tokens >= WINDOW_BATCHES * batch_tokens:
            batches += _cut(window, lengths, batch_tokens)
            window, tokens = [], 0
    batches += _cut(window, lengths, batch_tokens)
    rng.shuffle(batches)
    return batches


def parts_of(batch: Sequence[int], lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """The batch cut into parts of at most so many tokens; 0 does not cut it."""
    if not most_tokens:
        return [list(batch)] if batch else []
    return _cut(batch, lengths, most_tokens)


def endless(epoch: Callable[[int], list[list[int]]], *, start: int) -> Iterator[list[int]]:
    """Batches of epoch after epoch, from batch number `start` on."""
    number, skipped = 0, 0
    while True:
        batches = epoch(number)
        if not batches:
            raise ValueError("an epoch without batches")
        yield from batches[max(0, start - skipped) :]
        skipped += len(batches)
        number += 1


def _cut(window: Sequence[int], lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in sorted(window, key=lambda item: lengths[item]):
        # The newest is the longest: it sets the padded size.
        if batch and (len(batch) + 1) * lengths[index] > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches
