"""Drive one search: every `await` of a search is here or below it, none is in the core.

There is no barrier: each expansion runs in a task of its own and the strategy is asked
again after every result. A sequential search (`parallel_rollouts` of 1) is told its results in
the order of asking, so that its tree does not depend on which came first. The search is anytime:
cancel, or any exhausted budget, ends it with the best answer so far and the name of what ended it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rstar_common.errors import RstarError, Unavailable, first_leaf
from rstar_common.tracing import span
from rstar_searcher.expansion import Expansion, expand
from rstar_searcher.meter import Meter
from rstar_searcher.services import Problem, Services
from rstar_searcher.settings import SearchSettings
from rstar_searcher.strategies import Ask, Backup, Strategy, Told
from rstar_searcher.tree import NodeId


class EndedBy(Enum):
    """What ended a search."""

    ROLLOUTS = "rollouts"
    GENERATED_TOKENS = "generated_tokens"
    SANDBOX_SECONDS = "sandbox_seconds"
    WALL_TIME = "wall_time"
    EXHAUSTED = "exhausted"
    SOLVED = "solved"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What one result changed."""

    node: NodeId
    children: Sequence[NodeId]
    dropped: int
    backups: Sequence[Backup]


class Ledger(Protocol):
    """Where every expansion is written down, so that the search can go on elsewhere."""

    def told(self, told: Told, meter: Meter) -> None:
        """Write down an expansion and the cost so far. Never waits."""

    async def room(self) -> None:
        """Wait while too much is unwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    ask: Ask
    expansion: Expansion


class _Results:
    """Expansions that are done: as they come, or, `in_order`, as they were asked for."""

    def __init__(self, *, in_order: bool) -> None:
        self._in_order = in_order
        self._came: asyncio.Queue[_Done] = asyncio.Queue()  # bounded by who is under way
        self._under_way: dict[NodeId, _Done | None] = {}
        """By node, in the order of asking; None while it has not come."""

    def __len__(self) -> int:
        """How many are waited for or not taken yet."""
        return len(self._under_way)

    def expect(self, ask: Ask) -> None:
        self._under_way[ask.node] = None

    def put(self, done: _Done) -> None:
        self._came.put_nowait(done)

    async def next(self) -> _Done:
        """The next one that the strategy is to be told."""
        while (done := self._ready()) is None:
            came = await self._came.get()
            self._under_way[came.ask.node] = came
        del self._under_way[done.ask.node]
        return done

    def _ready(self) -> _Done | None:
        under_way = self._under_way.values()
        return next(iter(under_way)) if self._in_order else next(filter(None, under_way), None)


async def drive(
    strategy: Strategy,
    problem: Problem,
    settings: SearchSettings,
    services: Services,
    meter: Meter,
    *,
    cancel: asyncio.Event,
    on_progress: Callable[[Progress], None],
    ledger: Ledger | None = None,
    under_way: Sequence[Ask] = (),
) -> EndedBy:
    """Search until the strategy is done, a budget ends, or `cancel` is set.

    A search that is resumed has a strategy that was told its history, `under_way` what that
    strategy asked for and was not told, and a `meter` that goes on counting: its budget is one.

    Raises:
        RstarError: a service failed for good. The tree stays as it was.
    """
    loop = asyncio.get_running_loop()
    started = loop.time() - meter.wall_seconds
    seconds_left = max(0.0, settings.max_wall_seconds - meter.wall_seconds)
    results = _Results(in_order=settings.parallel_rollouts == 1)

    async def run(ask: Ask) -> None:
        try:
            results.put(_Done(ask=ask, expansion=await expanded(ask)))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # A TaskGroup takes no notice of a task that ends so: its node would be waited for.
            raise Unavailable("what an expansion waited for was cancelled") from error

    async def expanded(ask: Ask) -> Expansion:
        node = strategy.tree[ask.node]
        with span("expansion", node=int(ask.node), depth=node.depth) as traced:
            expansion = await expand(
                services,
                problem,
                settings,
                strategy.tree.steps_to(ask.node),
                key=node.key,
                num_candidates=ask.num_candidates,
            )
            traced.set(
                children=len(expansion.children),
                dropped=len(expansion.dropped),
                duplicates=expansion.duplicates,
            )
        return expansion

    async def search(group: asyncio.TaskGroup) -> EndedBy:
        asks = list(under_way)
        while True:
            if ledger:
                await ledger.room()
            if ended := budget_ended(settings, meter):
                return ended
            reported = len(strategy.backups)
            asks += strategy.ask()
            for ask in asks:
                results.expect(ask)
                group.create_task(run(ask))
            asks = []
            if len(strategy.backups) > reported:  # a rollout ended on nodes known before
                meter.rollouts = len(strategy.backups)
                on_progress(
                    Progress(
                        node=strategy.backups[-1].leaf,
                        children=(),
                        dropped=0,
                        backups=strategy.backups[reported:],
                    )
                )
                continue
            if strategy.solved:
                return EndedBy.SOLVED
            if not results:
                return EndedBy.EXHAUSTED if strategy.exhausted else EndedBy.ROLLOUTS
            done = await results.next()
            reported = len(strategy.backups)
            told = Told(
                node=done.ask.node,
                children=done.expansion.children,
                dropped=done.expansion.dropped,
            )
            strategy.tell(told.node, told.children, told.dropped)
            meter.expansions += 1
            meter.rollouts = len(strategy.backups)
            meter.wall_seconds = loop.time() - started
            if ledger:
                ledger.told(told, meter)
            on_progress(
                Progress(
                    node=told.node,
                    children=list(strategy.tree[told.node].children),
                    dropped=len(told.dropped),
                    backups=strategy.backups[reported:],
                )
            )

    ended: EndedBy | None = None
    timer = asyncio.timeout(seconds_left)
    try:
        with suppress(TimeoutError):
            async with timer, asyncio.TaskGroup() as group:
                ended = await _until_cancelled(group, search(group), cancel)
                raise _Finished
    except* _Finished:
        pass  # ends the group, and with it every expansion still under way
    except* RstarError as failures:
        # Once it is over, what an expansion says that is being taken back concerns nobody.
        if ended is None and not timer.expired():
            raise first_leaf(failures) from failures
    meter.wall_seconds = loop.time() - started
    return ended or EndedBy.WALL_TIME


def budget_ended(settings: SearchSettings, meter: Meter) -> EndedBy | None:
    """The budget that is used up, if one is. Wall-clock time is the driver's own timer."""
    if meter.generated_tokens >= settings.max_generated_tokens:
        return EndedBy.GENERATED_TOKENS
    if meter.sandbox_seconds >= settings.max_sandbox_seconds:
        return EndedBy.SANDBOX_SECONDS
    return None


class _Finished(Exception):
    """Tells a task group that its work is over."""


async def _until_cancelled(
    group: asyncio.TaskGroup,
    search: Coroutine[object, object, EndedBy],
    cancel: asyncio.Event,
) -> EndedBy:
    searching = group.create_task(search)
    cancelling = group.create_task(cancel.wait())
    await asyncio.wait((searching, cancelling), return_when=asyncio.FIRST_COMPLETED)
    if searching.done():
        return searching.result()
    return EndedBy.CANCEL
