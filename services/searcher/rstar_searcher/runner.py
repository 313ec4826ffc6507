"""Runs searches: at most so many, each with a lease, a tree in the store, and a record.

What is written, in this order: the tree (created, never replaced), the record with the
result, the event that names the tree. Each step may be done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import nats.errors
from google.protobuf import timestamp_pb2
from nats.aio.client import Client
from prometheus_client import Counter, Gauge, Histogram

from rstar.v1 import events_pb2, tree_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import publish_once
from rstar_common.errors import Conflict, InvalidInput, NotFound, Overloaded, RstarError
from rstar_common.rpc import failure_of
from rstar_common.streams import (
    SEARCH_COMPLETED,
    search_cancel_subject,
    search_events_subject,
)
from rstar_searcher.clients import GrpcServices, Tiers
from rstar_searcher.driver import drive
from rstar_searcher.live import LiveSearch
from rstar_searcher.meter import Meter
from rstar_searcher.records import Lease, SearchRecords
from rstar_searcher.request import SearchRequest
from rstar_searcher.results import result_of, tree_to
from rstar_searcher.services import Services
from rstar_searcher.strategies import make_strategy

logger = logging.getLogger(__name__)

RUNNING = Gauge("rstar_searches_running", "Searches under way.", ["origin"])
ENDED = Counter("rstar_searches_total", "Searches that ended.", ["origin", "status", "ended_by"])
SECONDS = Histogram(
    "rstar_search_seconds", "Duration of a search.", ["origin"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
)  # fmt: skip
SPENT = Counter("rstar_search_cost_total", "What searches cost, by kind.", ["kind"])

MakeServices = Callable[[str, Meter], Services]


class Runner:
    """Owns every search of this process."""

    def __init__(
        self,
        make_services: MakeServices,
        records: SearchRecords,
        store: ObjectStore,
        bus: Client,
        *,
        max_interactive: int,
    ) -> None:
        self._make_services = make_services
        self._records = records
        self._store = store
        self._bus = bus
        self._max_interactive = max_interactive
        self.address = ""
        """Where this searcher serves; told once it listens."""

        self._live: dict[str, LiveSearch] = {}
        self._interactive = 0
        self._group: asyncio.TaskGroup | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Own the tasks of searches until `stop`; then let those under way end."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await stop.wait()

    @property
    def idle(self) -> bool:
        """Whether no search is under way."""
        return not self._live

    def live(self, search_id: str) -> LiveSearch | None:
        """A search that runs here."""
        return self._live.get(search_id)

    async def start(self, request: SearchRequest) -> LiveSearch:
        """Begin a search, or join the one with this id that runs here.

        Raises:
            Overloaded: every interactive place is taken.
            Conflict: it runs elsewhere, or has ended.
            InvalidInput: its idempotency key names another request.
        """
        if running := self._live.get(request.search_id):
            return running
        if self._group is None:
            raise Overloaded("starting")
        if not request.batch_id and self._interactive >= self._max_interactive:
            raise Overloaded(f"{self._interactive} interactive searches are running")
        meter = Meter()
        settings = request.settings
        search = LiveSearch(
            request.search_id,
            request.problem,
            settings,
            make_strategy(settings),
            meter,
        )
        self._live[request.search_id] = search
        try:
            lease = await self._claim(request)
        except BaseException:
            del self._live[request.search_id]
            raise
        if not request.batch_id:
            self._interactive += 1
        self._group.create_task(
            self._search(request, search, lease), name=f"search {request.search_id}"
        )
        return search

    async def _claim(self, request: SearchRequest) -> Lease:
        record = events_pb2.SearchRecord(
            search_id=request.search_id,
            idempotency_key=request.idempotency_key,
            searcher=self.address,
            digest=request.digest,
            batch_id=request.batch_id,
        )
        record.state.search_id = request.search_id
        record.state.status = tree_pb2.SEARCH_STATUS_RUNNING
        record.state.started_at.GetCurrentTime()
        revision = 0
        try:
            stored = await self._records.get(request.search_id)
        except NotFound:
            pass
        else:
            if stored.record.digest != record.digest:
                raise InvalidInput("names another request already", field="idempotency_key")
            if stored.ended and stored.record.state.status != tree_pb2.SEARCH_STATUS_FAILED:
                raise Conflict(f"search {request.search_id} has ended")
            # A batch's searcher was given the work item: whoever held it before is dead or paused.
            if stored.running and not request.batch_id:
                raise Conflict(f"search {request.search_id} runs elsewhere")
            revision = stored.revision
        return Lease(self._records, record, await self._records.write(record, revision=revision))

    async def _search(self, request: SearchRequest, search: LiveSearch, lease: Lease) -> None:
        origin = request.origin
        RUNNING.labels(origin).inc()
        try:
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(self._mirror(search)),
                    group.create_task(self._listen_for_cancel(search)),
                    group.create_task(lease.renew()),
                ]
                result = await self._drive(request, search)
                for task in background[1:]:
                    task.cancel()
                lease.record.state.status = result.status
                lease.record.state.result.CopyFrom(result)
                lease.record.state.result.ClearField("trajectories")
                await lease.settle()
                await self._announce(request, result)
                ENDED.labels(
                    origin,
                    tree_pb2.SearchStatus.Name(result.status),
                    tree_pb2.EndedBy.Name(result.ended_by),
                ).inc()
                search.finish(result)  # ends the mirror too
        except* Exception as failures:
            # One search's failure, a bug of ours included, must not end its neighbours.
            error = _leaf(failures)
            logger.warning(
                "search failed: %s",
                error,
                extra={"search_id": request.search_id},
                exc_info=None if isinstance(error, RstarError) else error,
            )
            ENDED.labels(origin, "FAILED", type(error).__name__).inc()
            await self._record_failure(lease, error)
            search.fail(error)
        except* asyncio.CancelledError:
            search.fail(Overloaded("the searcher is stopping"))
            raise
        finally:
            RUNNING.labels(origin).dec()
            SECONDS.labels(origin).observe(search.meter.wall_seconds)
            self._count_cost(search.meter)
            del self._live[request.search_id]
            if not request.batch_id:
                self._interactive -= 1

    async def _drive(self, request: SearchRequest, search: LiveSearch) -> tree_pb2.SearchResult:
        started_at = timestamp_pb2.Timestamp()
        started_at.GetCurrentTime()
        ended = await drive(
            search.strategy,
            request.problem,
            request.settings,
            self._make_services(request.search_id, search.meter),
            search.meter,
            cancel=search.cancel,
            on_progress=search.on_progress,
        )
        result = result_of(
            request.search_id,
            request.batch_id,
            request.problem,
            request.settings,
            search.strategy.tree,
            search.meter,
            ended,
        )
        tree = tree_to(request.problem, request.settings, search.strategy.tree, result)
        tree.started_at.CopyFrom(started_at)
        tree.finished_at.GetCurrentTime()
        try:
            await self._store.create(result.tree_key, tree.SerializeToString())
        except Conflict:
            # An earlier try wrote its tree and died before its record: that tree stands.
            stored = tree_pb2.Tree.FromString(await self._store.get(result.tree_key))
            return stored.result
        return result

    async def _record_failure(self, lease: Lease, error: Exception) -> None:
        lease.record.state.status = tree_pb2.SEARCH_STATUS_FAILED
        lease.record.state.result.status = tree_pb2.SEARCH_STATUS_FAILED
        lease.record.state.result.ended_by = tree_pb2.ENDED_BY_FAILURE
        lease.record.state.result.failure.CopyFrom(failure_of(error, service="searcher"))
        try:
            await lease.settle()
        except RstarError as failure:
            logger.warning("cannot record a failed search: %s", failure)

    async def _announce(self, request: SearchRequest, result: tree_pb2.SearchResult) -> None:
        event = events_pb2.SearchCompleted(
            search_id=request.search_id,
            batch_id=request.batch_id,
            problem_id=request.problem.problem_id,
            tree_key=result.tree_key,
            versions=result.versions,
            solved=result.status == tree_pb2.SEARCH_STATUS_ANSWERED,
        )
        await publish_once(
            self._bus.jetstream(),
            SEARCH_COMPLETED,
            event.SerializeToString(),
            headers={"Nats-Msg-Id": request.search_id},
        )

    async def _mirror(self, search: LiveSearch) -> None:
        """Publish live events for watchers on other replicas, a few a second."""
        subject = search_events_subject(search.search_id)
        subscription = search.subscribe()
        async for event in subscription.events(min_interval_seconds=0.25):
            try:
                await self._bus.publish(subject, event.SerializeToString())
            except nats.errors.Error as error:
                logger.debug("live event lost: %s", error)

    async def _listen_for_cancel(self, search: LiveSearch) -> None:
        subscription = await self._bus.subscribe(search_cancel_subject(search.search_id))
        try:
            async for _ in subscription.messages:
                search.cancel.set()
        finally:
            await _quietly(subscription.unsubscribe())

    @staticmethod
    def _count_cost(meter: Meter) -> None:
        for kind in Meter.__dataclass_fields__:
            SPENT.labels(kind).inc(getattr(meter, kind))


def grpc_services(tiers: Tiers) -> MakeServices:
    """The real services, each search with its own preferred replicas."""
    return lambda search_id, meter: GrpcServices(tiers, search_id, meter)


def _leaf(group: ExceptionGroup[Exception]) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _quietly(work: Awaitable[object]) -> None:
    try:
        await work
    except nats.errors.Error as error:
        logger.debug("nats: %s", error)
