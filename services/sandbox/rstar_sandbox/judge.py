"""Judges pairs of answers: by rules where they suffice, else by algebra inside the sandbox."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Protocol

from rstar_sandbox.guest.outcome import Status
from rstar_sandbox.judging import AnswerKind, Judgement, Verdict, decide
from rstar_sandbox.limits import to_message
from rstar_sandbox.settings import LimitSection

CACHE_SIZE = 4096

LIMITS = to_message(LimitSection(wall_seconds=6, cpu_seconds=4, processes=1))
"""Of one judgement."""


class Algebra(Protocol):
    """Where LaTeX is understood: a place its writer cannot get out of."""

    async def judge(
        self,
        answer: str,
        reference: str,
        limits: dict[str, float | int],
        *,
        timeout_seconds: float,
    ) -> dict[str, Any]: ...


class Judge:
    """Remembers what it decided; a verdict depends on nothing but the pair and its kind."""

    def __init__(self, algebra: Algebra, *, at_once: int) -> None:
        self._algebra = algebra
        self._slots = asyncio.Semaphore(at_once)
        self._cache: OrderedDict[tuple[str, str, AnswerKind], Judgement] = OrderedDict()

    async def judge(
        self, answer: str, reference: str, kind: AnswerKind, *, timeout_seconds: float
    ) -> Judgement:
        """Compare an answer with its reference.

        Raises:
            Overloaded: the sandboxes are full of other work.
            DeadlineExceeded: the time is up.
        """
        key = answer, reference, kind
        if judgement := self._cache.get(key) or decide(answer, reference, kind):
            return judgement
        async with self._slots:
            message = await self._algebra.judge(
                answer, reference, LIMITS, timeout_seconds=timeout_seconds
            )
        judgement = _judgement(message)
        if judgement.verdict is not Verdict.UNDECIDED:  # a busy machine may have run out of time
            self._cache[key] = judgement
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return judgement


def _judgement(message: dict[str, Any]) -> Judgement:
    """What the guest decided; everything unexpected is undecided."""
    undecided = Verdict.UNDECIDED
    if not message:
        return Judgement(undecided, "the judge's sandbox died")
    if limit := message.get("limit"):
        return Judgement(undecided, f"the judge ran into its limit: {limit}")
    match message.get("verdict"):
        case [Status.OK, str(verdict), str(reason)] if verdict in set(Verdict):
            return Judgement(Verdict(verdict), reason)
        case [_, str(kind), str(reason)]:
            return Judgement(undecided, f"{kind}: {reason}")
    return Judgement(undecided, "the judge's process ended without a verdict")
