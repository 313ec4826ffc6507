"""Judges pairs of answers: by rules where they suffice, else by algebra inside the sandbox."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rstar_common.errors import DeadlineExceeded
from rstar_sandbox.forms import asked, in_form
from rstar_sandbox.guest.outcome import Status
from rstar_sandbox.judging import AnswerKind, Judgement, Verdict, decide
from rstar_sandbox.limits import to_message
from rstar_sandbox.settings import LimitSection

CACHE_SIZE = 16_384
"""Verdicts remembered. Long texts are not: they are decided at once anyway."""

MAX_CACHED_CHARACTERS = 2048
"""Of answer and reference together; with `CACHE_SIZE` it bounds the cache at some 64 MB."""

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


@dataclass(frozen=True, slots=True)
class Pair:
    """What is to be compared. With a question, form counts where that asks for one."""

    answer: str
    reference: str
    kind: AnswerKind
    question: str = ""


class Judge:
    """Remembers what it decided; a verdict on values depends on nothing but the pair and kind."""

    def __init__(self, algebra: Algebra, *, at_once: int) -> None:
        self._algebra = algebra
        self._slots = asyncio.Semaphore(at_once)
        self._cache: OrderedDict[tuple[str, str, AnswerKind], Judgement] = OrderedDict()

    async def judge_all(self, pairs: Sequence[Pair], *, timeout_seconds: float) -> list[Judgement]:
        """Judge pairs beside each other; what is asked twice is worked out once.

        Raises:
            Overloaded: the sandboxes are full of other work.
            DeadlineExceeded: the time is up.
        """
        try:
            async with asyncio.timeout(timeout_seconds), asyncio.TaskGroup() as group:
                tasks = {
                    pair: group.create_task(self.judge(pair, timeout_seconds=timeout_seconds))
                    for pair in dict.fromkeys(pairs)
                }
        except ExceptionGroup as failures:  # one refusal refuses the batch, as itself
            raise failures.exceptions[0] from failures
        except TimeoutError as error:  # of all together, those that waited for a slot too
            raise DeadlineExceeded("judging did not end in time") from error
        return [tasks[pair].result() for pair in pairs]

    async def judge(self, pair: Pair, *, timeout_seconds: float) -> Judgement:
        """Compare an answer with its reference.

        Raises:
            Overloaded: the sandboxes are full of other work.
            DeadlineExceeded: the time is up.
        """
        judgement = await self._values(pair, timeout_seconds)
        if judgement.verdict is not Verdict.EQUAL or not (form := asked(pair.question)):
            return judgement
        return in_form(form, pair.answer, pair.reference, pair.question) or judgement

    async def _values(self, pair: Pair, timeout_seconds: float) -> Judgement:
        key = pair.answer, pair.reference, pair.kind
        if judgement := decide(*key):
            return judgement
        if judgement := self._cache.get(key):
            self._cache.move_to_end(key)
            return judgement
        async with self._slots:
            message = await self._algebra.judge(
                pair.answer, pair.reference, LIMITS, timeout_seconds=timeout_seconds
            )
        judgement = _judgement(message)
        if message.get("verdict") and not message.get("limit"):  # the clock may be kinder next time
            self._remember(key, judgement)
        return judgement

    def _remember(self, key: tuple[str, str, AnswerKind], judgement: Judgement) -> None:
        if len(key[0]) + len(key[1]) > MAX_CACHED_CHARACTERS:
            return
        self._cache[key] = judgement
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)


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
