"""Calls of concurrent callers become one pass, each with its own scores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from rstar_ppm.batching import Batcher
from rstar_ppm.layout import ScoringCall
from rstar_ppm.model import CallScores
from tests.support.eventually import eventually


class GatedModel:
    """Scores a call by its first token, once the gate is open, and remembers its passes."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.passes: list[list[int]] = []

    def score(self, calls: Sequence[ScoringCall]) -> list[CallScores]:
        self.passes.append([each.path[0].token_ids[0] for each in calls])
        self.gate.wait(timeout=30)
        return [
            CallScores(
                scores=tuple(sibling.token_ids[0] / 100 for sibling in each.siblings),
                computed_tokens=each.tokens,
            )
            for each in calls
        ]


def scoring_call(name: int, *, tokens: int = 3) -> ScoringCall:
    return ScoringCall.of([[name] * (tokens - 2)], [[name], [name + 50]])


@asynccontextmanager
async def batching(*, max_batch_tokens: int = 10_000) -> AsyncGenerator[Batcher]:
    batcher = Batcher(max_batch_tokens=max_batch_tokens, on_thread_start=lambda: None)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(batcher.run(stop))
        yield batcher
        stop.set()


async def asked(batcher: Batcher, *models: GatedModel, calls: Sequence[ScoringCall]):
    """One caller a call, going round the models; none has been computed yet."""
    callers = [
        asyncio.ensure_future(batcher.score(models[index % len(models)], each))
        for index, each in enumerate(calls)
    ]
    await asyncio.sleep(0)  # each has put its call into the queue
    return callers


async def test_callers_that_come_while_one_is_computed_share_the_next_pass():
    model = GatedModel()
    async with batching() as batcher:
        [first] = await asked(batcher, model, calls=[scoring_call(0)])
        await eventually(lambda: model.passes == [[0]])
        others = await asked(batcher, model, calls=[scoring_call(n) for n in range(1, 6)])
        model.gate.set()
        results = await asyncio.gather(first, *others)
    assert model.passes == [[0], [1, 2, 3, 4, 5]]
    for number, result in enumerate(results):
        assert result.scores == pytest.approx((number / 100, (number + 50) / 100))


async def test_a_caller_that_left_costs_nothing():
    model = GatedModel()
    async with batching() as batcher:
        [first] = await asked(batcher, model, calls=[scoring_call(0)])
        await eventually(lambda: model.passes == [[0]])
        leaver, stayer = await asked(batcher, model, calls=[scoring_call(1), scoring_call(2)])
        leaver.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(first, stayer)
    assert model.passes == [[0], [2]]


async def test_callers_of_two_versions_are_served_side_by_side_and_never_in_one_pass():
    old, new = GatedModel(), GatedModel()
    async with batching() as batcher:
        [first] = await asked(batcher, old, calls=[scoring_call(0)])
        await eventually(lambda: old.passes == [[0]])
        others = await asked(batcher, old, new, calls=[scoring_call(n) for n in range(1, 5)])
        for model in (old, new):
            model.gate.set()
        await asyncio.gather(first, *others)
    assert (old.passes, new.passes) == ([[0], [1, 3]], [[2, 4]])


async def test_a_padded_pass_stays_within_its_tokens_and_a_single_call_may_exceed_them():
    model = GatedModel()
    async with batching(max_batch_tokens=20) as batcher:
        [first] = await asked(batcher, model, calls=[scoring_call(0, tokens=50)])
        await eventually(lambda: model.passes == [[0]])
        lengths = [4, 4, 12, 5, 4]
        calls = [scoring_call(n + 1, tokens=length) for n, length in enumerate(lengths)]
        others = await asked(batcher, model, calls=calls)
        model.gate.set()
        await asyncio.gather(first, *others)
    # 4 tokens, 4, 5 and 4 are four rows of five; the one of twelve would widen them all.
    assert model.passes == [[0], [1, 2, 4, 5], [3]]


async def test_siblings_that_would_fill_several_passes_are_scored_in_several():
    model = GatedModel()
    model.gate.set()
    call = ScoringCall.of([[7] * 5], [[sibling] * 4 for sibling in range(6)])
    async with batching(max_batch_tokens=10) as batcher:
        result = await batcher.score(model, call)
    assert model.passes == [[7], [7], [7]]
    assert result.scores == pytest.approx([sibling / 100 for sibling in range(6)])
    assert result.computed_tokens == 3 * 5 + 6 * 4
