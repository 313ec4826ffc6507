"""Runs searches: at most so many, each with a lease, watched and found by its id.

What one search does is in `conductor`; here are its place, its lease and its end, whatever
that is. Interactive callers have places of their own, which batches cannot take.
"""

from __future__ import annotations

import asyncio
import logging

from nats.aio.client import Client
from prometheus_client import Counter, Gauge, Histogram

from rstar.v1 import events_pb2, journal_pb2, tree_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Overloaded,
    RstarError,
    Unavailable,
    first_leaf,
)
from rstar_common.rpc import failure_of
from rstar_common.tracing import about
from rstar_searcher.clients import GrpcServices, Tiers
from rstar_searcher.conductor import Conductor, MakeServices
from rstar_searcher.journal import Journals
from rstar_searcher.live import LiveSearch
from rstar_searcher.meter import Meter
from rstar_searcher.quota import Quotas
from rstar_searcher.records import Lease, SearchRecords
from rstar_searcher.remote import Remote
from rstar_searcher.request import SearchRequest
from rstar_searcher.strategies import make_strategy

logger = logging.getLogger(__name__)

RUNNING = Gauge("rstar_searches_running", "Searches under way.", ["origin"])
ENDED = Counter("rstar_searches_total", "Searches that ended.", ["origin", "status", "ended_by"])
SECONDS = Histogram(
    "rstar_search_seconds", "Duration of a search.", ["origin"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
)  # fmt: skip
SPENT = Counter("rstar_search_cost_total", "What searches cost, by kind.", ["kind"])

RELEASE_SECONDS = 2.0
"""How long a stopping searcher tries to give a search back before others find out by the lease."""


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
        quotas: Quotas,
    ) -> None:
        self._records = records
        self._quotas = quotas
        self._conductor = Conductor(make_services, Journals(bus.jetstream()), store, bus)
        self._remote = Remote(bus)
        self._max_interactive = max_interactive
        self.address = ""
        """Where this searcher serves; told once it listens."""

        self._live: dict[str, LiveSearch] = {}
        self._interactive = 0
        self._group: asyncio.TaskGroup | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Own the tasks of searches until `stop`; then let those under way end."""
        async with asyncio.TaskGroup() as serving:
            remote = serving.create_task(self._remote.run())
            async with asyncio.TaskGroup() as searches:
                self._group = searches
                await stop.wait()
            remote.cancel()

    def live(self, search_id: str) -> LiveSearch | None:
        """A search that runs here."""
        return self._live.get(search_id)

    def running(self) -> list[str]:
        """Ids of the searches that run here."""
        return list(self._live)

    async def begun(self, search_id: str) -> journal_pb2.SearchBegun | None:
        """What a search that has not ended is about, wherever it ran."""
        return await self._conductor.journals.begun(search_id)

    async def forget(self, search_id: str) -> None:
        """Purge the journal of a search that has ended: its searcher may have died just before."""
        await self._conductor.journals.purge(search_id)

    async def start(self, request: SearchRequest) -> LiveSearch:
        """Begin a search, go on with one whose searcher died, or join the one that runs here.

        Raises:
            Overloaded: every interactive place is taken, or every one of its tenant.
            Conflict: it runs elsewhere, or has ended.
            InvalidInput: its idempotency key names another request.
        """
        if running := self._live.get(request.search_id):
            if running.digest != request.digest:
                raise InvalidInput("names another request already", field="idempotency_key")
            return running
        if self._group is None:
            raise Overloaded("starting")
        if not request.batch_id and self._interactive >= self._max_interactive:
            raise Overloaded(f"{self._interactive} interactive searches are running")
        self._quotas.take_place(request)
        search = LiveSearch(
            request.search_id,
            request.problem,
            request.settings,
            make_strategy(request.settings),
            Meter(),
            digest=request.digest,
            batch_id=request.batch_id,
            owner=request.owner,
        )
        self._live[request.search_id] = search
        self._interactive += not request.batch_id
        try:
            lease = await self._claim(request)
        except BaseException as error:
            self._left(request)
            known = error if isinstance(error, RstarError) else None
            search.fail(known or Unavailable("the search could not begin"))  # to who joined it
            raise
        search.owner = lease.record.owner
        self._remote.add(search)
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
            owner=request.owner,
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
            if stored.running:
                raise Conflict(f"search {request.search_id} runs elsewhere")
            record.state.started_at.CopyFrom(stored.record.state.started_at)
            record.owner = stored.record.owner  # whoever goes on with it now
            revision = stored.revision
        record.renewed_at.GetCurrentTime()
        return Lease(self._records, record, await self._records.write(record, revision=revision))

    async def _search(self, request: SearchRequest, search: LiveSearch, lease: Lease) -> None:
        origin = request.origin
        RUNNING.labels(origin).inc()
        try:
            with about(search_id=request.search_id, batch_id=request.batch_id):
                await self._conducted(request, search, lease)
        except asyncio.CancelledError:
            await _give_back(lease)
            search.fail(Overloaded("the searcher is stopping"))
            raise
        finally:
            RUNNING.labels(origin).dec()
            SECONDS.labels(origin).observe(search.meter.wall_seconds)
            for kind, amount in search.spent_here().items():
                SPENT.labels(kind).inc(amount)
            self._remote.remove(search)
            self._left(request)

    def _left(self, request: SearchRequest) -> None:
        del self._live[request.search_id]
        self._interactive -= not request.batch_id
        self._quotas.leave_place(request)

    async def _conducted(self, request: SearchRequest, search: LiveSearch, lease: Lease) -> None:
        origin = request.origin
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(lease.renew())
                try:
                    result = await self._conductor.conduct(request, search, lease)
                finally:
                    lease.stop()
                    renewing.cancel()
            ENDED.labels(
                origin,
                tree_pb2.SearchStatus.Name(result.status),
                tree_pb2.EndedBy.Name(result.ended_by),
            ).inc()
            # Before its caller knows: the next call must find it counted.
            await self._quotas.spend_search(request, result.cost.generated_tokens)
            search.finish(result)
        except* Exception as failures:
            # One search's failure, a bug of ours included, must not end its neighbours.
            error = first_leaf(failures)
            assert isinstance(error, Exception)
            ENDED.labels(origin, "FAILED", type(error).__name__).inc()
            await self._failed(lease, error)
            search.fail(error)

    async def _failed(self, lease: Lease, error: Exception) -> None:
        if isinstance(error, Conflict):
            # Another searcher has it: record and journal are no longer ours to write.
            logger.warning("search left to another: %s", error)
            return
        trace = None if isinstance(error, RstarError) else error
        logger.warning("search failed: %s", error, exc_info=trace)
        lease.record.state.status = tree_pb2.SEARCH_STATUS_FAILED
        lease.record.state.result.Clear()  # it may be what could not be written
        lease.record.state.result.status = tree_pb2.SEARCH_STATUS_FAILED
        lease.record.state.result.ended_by = tree_pb2.ENDED_BY_FAILURE
        lease.record.state.result.failure.CopyFrom(failure_of(error, service="searcher"))
        try:
            await lease.settle()
        except RstarError as failure:
            logger.warning("cannot record a failed search: %s", failure)


def grpc_services(tiers: Tiers) -> MakeServices:
    """The real services, each search with its own preferred replicas."""
    return lambda request, meter: GrpcServices(
        tiers,
        request.search_id,
        meter,
        interactive=not request.batch_id,
        seconds=request.settings.max_wall_seconds - meter.wall_seconds,
        ppm_version=request.ppm_version,
    )


async def _give_back(lease: Lease) -> None:
    try:
        async with asyncio.timeout(RELEASE_SECONDS):
            await lease.release()
    except (RstarError, TimeoutError) as error:
        logger.info("a search is not given back: %s", error)
