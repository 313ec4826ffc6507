"""A search under way, and those who watch it.

Watching never slows a search: each subscription holds a bounded number of events, a reader
that falls behind loses the oldest (it sees a gap in `sequence`), and the last event, the
result, is never lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace

from google.protobuf import timestamp_pb2

from rstar.v1 import searcher_pb2, tree_pb2
from rstar_searcher import wire
from rstar_searcher.driver import Progress
from rstar_searcher.journal_wire import History
from rstar_searcher.meter import Meter
from rstar_searcher.results import best_so_far, node_to
from rstar_searcher.services import Problem
from rstar_searcher.settings import SearchSettings
from rstar_searcher.settings_wire import settings_to
from rstar_searcher.strategies import Ask, Strategy, replay

MAX_BEHIND = 256
"""Events a slow reader may be behind before it loses the oldest."""


class Subscription:
    """One reader's view of one search."""

    def __init__(self) -> None:
        self._events: deque[searcher_pb2.SearchEvent] = deque(maxlen=MAX_BEHIND)
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: Exception | None = None

    def push(self, event: searcher_pb2.SearchEvent) -> None:
        """Never waits; may push the oldest event out."""
        self._events.append(event)
        self._arrived.set()
        if event.HasField("finished"):
            self._ended.set()

    def fail(self, error: Exception) -> None:
        """End with an error instead of a result."""
        self._error = error
        self._arrived.set()
        self._ended.set()

    async def events(
        self, *, min_interval_seconds: float = 0.0
    ) -> AsyncGenerator[searcher_pb2.SearchEvent]:
        """Events until the result; at most one an interval, the newest, if one is given.

        Raises what the search failed with.
        """
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if min_interval_seconds:
                while len(self._events) > 1:
                    self._events.popleft()
            while self._events:
                event = self._events.popleft()
                yield event
                if event.HasField("finished"):
                    return
            if self._error is not None:
                raise self._error
            if min_interval_seconds:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), min_interval_seconds)


class LiveSearch:
    """One running search: its state, its watchers, and the switch that ends it."""

    def __init__(
        self,
        search_id: str,
        problem: Problem,
        settings: SearchSettings,
        strategy: Strategy,
        meter: Meter,
        *,
        digest: str = "",
        batch_id: str = "",
        owner: str = "",
    ) -> None:
        self.search_id = search_id
        self.digest = digest
        self.batch_id = batch_id
        self.owner = owner
        self.problem = problem
        self.settings = settings
        self.strategy = strategy
        self.meter = meter
        self.cancel = asyncio.Event()
        self.result: asyncio.Future[tree_pb2.SearchResult] = (
            asyncio.get_running_loop().create_future()
        )
        self._before = Meter()
        """What others had spent when it was taken."""

        self._sequence = 0
        self._subscriptions: set[Subscription] = set()

    def resume(self, history: History) -> list[Ask]:
        """Bring a search that has just been taken to where its journal ends.

        Returns the expansions that were under way.
        """
        asks = replay(self.strategy, history.told)
        for name in Meter.__dataclass_fields__:
            setattr(self.meter, name, getattr(history.cost, name))
        self._before = replace(self.meter)
        if history.begun:
            # A budget belongs to the search, whoever asks for it again.
            seconds = history.begun.settings.budget.max_wall_time.ToMilliseconds() / 1000
            self.settings = replace(self.settings, max_wall_seconds=seconds)
        # Whoever watched it elsewhere must not see its events begin anew.
        self._sequence = len(history.told) + 2 * len(self.strategy.backups)
        return asks

    def spent_here(self) -> dict[str, float]:
        """What the search cost since it was taken, by kind."""
        return {
            name: max(0, getattr(self.meter, name) - getattr(self._before, name))
            for name in Meter.__dataclass_fields__
        }

    def subscribe(self) -> Subscription:
        """Watch from now on. The first event tells what is searched."""
        subscription = Subscription()
        started = self._event()
        started.started.CopyFrom(
            searcher_pb2.SearchStarted(
                problem=wire.problem_to(self.problem), settings=settings_to(self.settings)
            )
        )
        started.started.problem.ClearField("reference")
        subscription.push(started)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop watching."""
        self._subscriptions.discard(subscription)

    def on_progress(self, progress: Progress) -> None:
        """Tell the watchers what changed. Costs nothing when nobody watches."""
        self._sequence += 1
        if not self._subscriptions:
            return
        tree = self.strategy.tree
        if progress.children or progress.dropped:
            event = self._event()
            event.expansion.CopyFrom(
                searcher_pb2.Expansion(
                    parent=progress.node,
                    children=[node_to(tree, child, full=False) for child in progress.children],
                    dropped=progress.dropped,
                )
            )
            self._push(event)
        done = len(self.strategy.backups) - len(progress.backups)
        best = best_so_far(tree, self.settings)
        for backup in progress.backups:
            done += 1
            self._sequence += 1
            event = self._event()
            step = tree[backup.leaf].step
            event.rollout_ended.CopyFrom(
                searcher_pb2.RolloutEnded(
                    rollouts_done=done,
                    rollouts_total=self.strategy.planned,
                    value=backup.value,
                    node=backup.leaf,
                    answer=(step.answer or "") if step else "",
                    best_answer=best.trajectory.answer if best else "",
                    best_score=best.score if best else 0.0,
                )
            )
            self._push(event)

    def finish(self, result: tree_pb2.SearchResult) -> None:
        """Hand the result to everyone who waits."""
        self._sequence += 1
        event = self._event()
        event.finished.result.CopyFrom(result)
        self._push(event)
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, error: Exception) -> None:
        """Hand a failure to everyone who waits."""
        for subscription in self._subscriptions:
            subscription.fail(error)
        if not self.result.done():
            self.result.set_exception(error)
            # Without a waiter the failure is still logged and recorded by the runner.
            self.result.exception()

    def _event(self) -> searcher_pb2.SearchEvent:
        seconds, nanos = divmod(time.time_ns(), 10**9)
        return searcher_pb2.SearchEvent(
            search_id=self.search_id,
            sequence=self._sequence,
            at=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos),
            cost=wire.cost_to(self.meter),
        )

    def _push(self, event: searcher_pb2.SearchEvent) -> None:
        for subscription in self._subscriptions:
            subscription.push(event)
