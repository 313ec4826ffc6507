"""Joins the calls of concurrent callers into batches and runs them on one thread.

While one batch is computed the next calls gather; nobody waits for a timer. A caller that
leaves takes its call with it unless it is already being computed. Torch runs in the one
worker thread only, so the event loop never blocks.

How long a new call would wait is known from what is queued and how fast the last batches
went; admission refuses by it (`wait_seconds`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from rstar_common.errors import Unavailable
from rstar_ppm.layout import ScoringCall
from rstar_ppm.model import CallScores

BATCH_CALLS = Histogram(
    "rstar_ppm_batch_calls", "Calls scored in one batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
COMPUTED_TOKENS = Counter("rstar_ppm_computed_tokens_total", "Tokens computed by the PPM.")
CALL_TOKENS = Counter(
    "rstar_ppm_call_tokens_total", "Tokens of calls, as if nothing had been cached."
)
SCORES = Counter("rstar_ppm_scores_total", "Prefixes scored.")
WAITING = Gauge("rstar_ppm_waiting_calls", "Calls that wait for a batch.")


PACE_MEMORY = 0.8
"""Weight of the batches before in the pace, each time one is computed."""


class Scorer(Protocol):
    """What scores a batch; `RewardModel` is one."""

    def score(self, calls: Sequence[ScoringCall]) -> list[CallScores]: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    scorer: Scorer
    call: ScoringCall
    result: asyncio.Future[CallScores]


class Batcher:
    """One worker thread and the calls that wait for it."""

    def __init__(self, *, max_batch_tokens: int, on_thread_start: Callable[[], None]) -> None:
        """Wire a batcher; `on_thread_start` runs in the worker thread first."""
        self._max_batch_tokens = max_batch_tokens
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._queued_tokens = 0
        """Of calls that wait or are being computed."""

        self._seconds_a_token = 0.0
        """By the last batches; 0 before the first."""

        self._thread = ThreadPoolExecutor(1, "scoring", initializer=on_thread_start)

    async def score(self, scorer: Scorer, call: ScoringCall) -> CallScores:
        """Score `call` in some batch, or in several. Admission is the caller's business."""
        # One after another: the first leaves the path's keys and values to the others.
        parts = [await self._score(scorer, part) for part in call.split(self._max_batch_tokens)]
        return CallScores(
            scores=tuple(score for part in parts for score in part.scores),
            computed_tokens=sum(part.computed_tokens for part in parts),
        )

    async def _score(self, scorer: Scorer, call: ScoringCall) -> CallScores:
        result: asyncio.Future[CallScores] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(scorer, call, result))
        self._queued_tokens += call.tokens
        WAITING.set(len(self._waiting))
        self._arrived.set()
        try:
            return await result
        finally:
            self._queued_tokens -= call.tokens

    @property
    def wait_seconds(self) -> float:
        """How long a call that came now would wait for its batch, at the pace of the last ones."""
        return self._queued_tokens * self._seconds_a_token

    async def run(self, stop: asyncio.Event) -> None:
        """Compute batches until `stop` is set and nobody waits."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not (stop.is_set() and not self._waiting):
                arrival = asyncio.create_task(self._arrived.wait())
                try:
                    await asyncio.wait({arrival, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    arrival.cancel()
                await self._compute_next()
        finally:
            stopping.cancel()
            for waiting in self._waiting:
                if not waiting.result.done():
                    waiting.result.set_exception(Unavailable("the ppm service is stopping"))
            self._thread.shutdown(wait=True, cancel_futures=True)

    async def _compute_next(self) -> None:
        batch = self._take()
        if not batch:
            return
        calls = [waiting.call for waiting in batch]
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            results = await loop.run_in_executor(self._thread, batch[0].scorer.score, calls)
        except Exception as error:  # handed on to every caller; a bug must not end in silence
            for waiting in batch:
                if not waiting.result.done():
                    waiting.result.set_exception(error)
            return
        self._went(sum(call.tokens for call in calls), loop.time() - started)
        BATCH_CALLS.observe(len(batch))
        for waiting, result in zip(batch, results, strict=True):
            COMPUTED_TOKENS.inc(result.computed_tokens)
            CALL_TOKENS.inc(waiting.call.tokens)
            SCORES.inc(len(result.scores))
            if not waiting.result.done():
                waiting.result.set_result(result)

    def _went(self, tokens: int, seconds: float) -> None:
        # By the calls' tokens and not by those computed: what waits is known by no other.
        pace = seconds / max(1, tokens)
        memory = PACE_MEMORY if self._seconds_a_token else 0.0
        self._seconds_a_token = memory * self._seconds_a_token + (1 - memory) * pace

    def _take(self) -> list[_Waiting]:
        """Calls to one model, oldest first, as many as fit a padded batch."""
        batch: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        widest = 0
        for waiting in self._waiting:
            if waiting.result.done():  # its caller left
                continue
            wider = max(widest, waiting.call.tokens)
            fits = not batch or (
                waiting.scorer is batch[0].scorer
                and wider * (len(batch) + 1) <= self._max_batch_tokens
            )
            if fits:
                batch.append(waiting)
                widest = wider
            else:
                left.append(waiting)
        self._waiting = left
        WAITING.set(len(left))
        if not left:
            self._arrived.clear()
        return batch
