"""Takes one search from its journal to its event.

What is written, in this order: the journal's last entry, the tree (created, never
replaced), the event that names the tree, the record with the result; then the journal is
purged. Each step may be done twice, and who is refused at the first does none of the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from google.protobuf import timestamp_pb2
from nats.aio.client import Client

from rstar.v1 import events_pb2, tree_pb2
from rstar_common.artifacts import ObjectStore, tree_key
from rstar_common.bus import publish_once
from rstar_common.errors import Conflict, NotFound, Unavailable
from rstar_common.streams import SEARCH_COMPLETED
from rstar_common.tracing import Span, span
from rstar_searcher.driver import EndedBy, drive
from rstar_searcher.journal import Journal, Journals
from rstar_searcher.live import LiveSearch
from rstar_searcher.meter import Meter
from rstar_searcher.records import Lease
from rstar_searcher.request import SearchRequest
from rstar_searcher.results import recorded, result_of, tree_to
from rstar_searcher.services import Services
from rstar_searcher.settings_wire import settings_to
from rstar_searcher.strategies import Ask
from rstar_searcher.wire import problem_to

MakeServices = Callable[[SearchRequest, Meter], Services]


class Conductor:
    """Holds what every search needs besides its own services."""

    def __init__(
        self, make_services: MakeServices, journals: Journals, store: ObjectStore, bus: Client
    ) -> None:
        self._make_services = make_services
        self.journals = journals
        self._store = store
        self._bus = bus

    async def conduct(
        self, request: SearchRequest, search: LiveSearch, lease: Lease
    ) -> tree_pb2.SearchResult:
        """Search, from where the journal ends; returns what was recorded.

        Raises:
            Conflict: another searcher took the search. Nothing was written.
            RstarError: a service failed for good. Searching again goes on from the journal.
        """
        with span(
            "search",
            search_id=request.search_id,
            batch_id=request.batch_id,
            problem_id=request.problem.problem_id,
            strategy=request.settings.strategy.value,
            question_characters=len(request.problem.question),
        ) as traced:
            return await self._conduct(request, search, lease, traced)

    async def _conduct(
        self, request: SearchRequest, search: LiveSearch, lease: Lease, traced: Span
    ) -> tree_pb2.SearchResult:
        journal, history = await self.journals.open(request.search_id, request.begun())
        assert history.begun is not None, "opening a journal begins it"
        asks = search.resume(history)
        known = replace(request, settings=search.settings, ppm_version=history.ppm_version)
        services = self._make_services(known, search.meter)
        result = None
        if request.batch_id and not history.told and history.ended is None:
            result = await self._result_elsewhere(request, search)
        if result is None:
            ended = history.ended or await self._driven(search, services, journal, asks)
            result = await self._store_tree(request, search, ended, history.begun.started_at)
        await self._announce(request, result)  # before the record, which ends every repetition
        lease.record.state.status = result.status
        lease.record.state.result.CopyFrom(recorded(result))
        await lease.settle()
        await self.journals.purge(request.search_id)
        traced.set(
            ended_by=tree_pb2.EndedBy.Name(result.ended_by),
            status=tree_pb2.SearchStatus.Name(result.status),
            expansions=search.meter.expansions,
            rollouts=search.meter.rollouts,
            generated_tokens=search.meter.generated_tokens,
            sandbox_seconds=search.meter.sandbox_seconds,
        )
        return result

    async def _driven(
        self, search: LiveSearch, services: Services, journal: Journal, asks: Sequence[Ask]
    ) -> EndedBy:
        """As `_drive`; a search whose PPM version is gone is forgotten, to begin anew.

        Going on would compare values of two versions.
        """
        try:
            return await self._drive(search, services, journal, asks)
        except* NotFound as gone:
            await self.journals.purge(search.search_id)
            raise Unavailable("what the search began with is gone; it begins anew") from gone

    async def _drive(
        self, search: LiveSearch, services: Services, journal: Journal, asks: Sequence[Ask]
    ) -> EndedBy:
        async with asyncio.TaskGroup() as group:
            group.create_task(journal.run())
            try:
                ended = await drive(
                    search.strategy,
                    search.problem,
                    search.settings,
                    services,
                    search.meter,
                    cancel=search.cancel,
                    on_progress=search.on_progress,
                    ledger=journal,
                    under_way=asks,
                )
                await journal.ended(ended, search.meter)
            finally:
                journal.close()
        return ended

    async def _store_tree(
        self,
        request: SearchRequest,
        search: LiveSearch,
        ended: EndedBy,
        started_at: timestamp_pb2.Timestamp,
    ) -> tree_pb2.SearchResult:
        result = result_of(
            request.search_id,
            request.batch_id,
            search.problem,
            search.settings,
            search.strategy.tree,
            search.meter,
            ended,
        )
        tree = tree_to(search.problem, search.settings, search.strategy.tree, result)
        tree.started_at.CopyFrom(started_at)
        tree.finished_at.GetCurrentTime()
        stored = await self._created(tree)
        if not _same_search(stored, tree):
            # Records end, trees stay: the key of a forgotten search was given to another one.
            began = started_at.ToNanoseconds()
            tree.result.tree_key = tree_key(request.batch_id, f"{request.search_id}-{began}")
            stored = await self._created(tree)
        return stored.result

    async def _result_elsewhere(
        self, request: SearchRequest, search: LiveSearch
    ) -> tree_pb2.SearchResult | None:
        """What a search found that is not known here, and asked the same in the same batch.

        Its tree came with the archive of a run, say. What a batch asks is not answered twice.
        """
        try:
            data = await self._store.get(tree_key(request.batch_id, request.search_id))
        except NotFound:
            return None
        tree = tree_pb2.Tree.FromString(data)
        asked = (problem_to(search.problem), settings_to(search.settings))
        return tree.result if (tree.problem, tree.settings) == asked else None

    async def _created(self, tree: tree_pb2.Tree) -> tree_pb2.Tree:
        """The tree that lies under its key: this one, or one that was there before."""
        try:
            await self._store.create(tree.result.tree_key, tree.SerializeToString())
        except Conflict:
            return tree_pb2.Tree.FromString(await self._store.get(tree.result.tree_key))
        return tree

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


def _same_search(one: tree_pb2.Tree, other: tree_pb2.Tree) -> bool:
    """Whether both are of one search, of which an earlier try died before its record.

    Or of the same question and settings: what a batch asks again is not answered twice.
    """
    asked = one.problem == other.problem and one.settings == other.settings
    return one.started_at == other.started_at or asked
