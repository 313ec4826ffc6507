"""The deadline of a call is that of all its pairs together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from rstar_common.errors import DeadlineExceeded
from rstar_sandbox.judge import Judge, Pair
from rstar_sandbox.judging import AnswerKind


class Slow:
    """An algebra that never decides."""

    def __init__(self) -> None:
        self.asked = 0

    async def judge(
        self, answer: str, reference: str, limits: Mapping[str, Any], *, timeout_seconds: float
    ) -> dict[str, Any]:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError(answer)


async def test_pairs_that_wait_for_a_slot_have_no_time_of_their_own():
    algebra = Slow()
    judge = Judge(algebra, at_once=1)
    pairs = [Pair(answer=f"x+{n}", reference=f"y+{n}", kind=AnswerKind.LATEX) for n in range(3)]
    with pytest.raises(DeadlineExceeded, match="in time"):
        await judge.judge_all(pairs, timeout_seconds=0.05)
    assert algebra.asked == 1
