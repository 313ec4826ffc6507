"""SearcherService: validate, start or join a search, translate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import nats.errors
from nats.aio.client import Client

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import Conflict, DeadlineExceeded, InvalidInput, NotFound, Unavailable
from rstar_common.rpc import error_from, remaining_seconds, serving
from rstar_common.streams import search_cancel_subject
from rstar_searcher import wire
from rstar_searcher.following import Follower
from rstar_searcher.intake import check_reference
from rstar_searcher.owners import check_owner, owners_matter, present_owner
from rstar_searcher.quota import Quotas
from rstar_searcher.records import SearchRecords, Stored
from rstar_searcher.request import SearchRequest, new_search_id
from rstar_searcher.runner import Runner
from rstar_searcher.settings import SearchSettings
from rstar_searcher.settings_wire import settings_from

if TYPE_CHECKING:
    from rstar_common.rpc import ServicerContext

MAX_KEY_CHARACTERS = 128
ANSWER_MARGIN_SECONDS = 0.25
ANSWER_MARGIN_SHARE = 0.1
"""Kept of the caller's deadline, the larger of both, so that the tree is written and the best
answer so far still arrives."""

LEAST_SECONDS = 0.02
"""With less than this left nothing is started."""


class SearcherServicer(searcher_pb2_grpc.SearcherServiceServicer):
    """Serves searches of this replica, and finds those of others."""

    def __init__(
        self,
        runner: Runner,
        records: SearchRecords,
        store: ObjectStore,
        bus: Client,
        defaults: SearchSettings,
        quotas: Quotas,
    ) -> None:
        self._runner = runner
        self._quotas = quotas
        self._follower = Follower(runner, records, store, bus, defaults)
        self._records = records
        self._store = store
        self._bus = bus
        self._defaults = defaults

    async def Solve(
        self, request: searcher_pb2.SolveRequest, context: ServicerContext
    ) -> searcher_pb2.SolveResponse:
        """See searcher.proto."""
        async with serving(context, "Solve"):
            async with self._search(request, context) as search:
                result = await self._follower.result(search)
            return searcher_pb2.SolveResponse(result=_checked(result))
        raise AssertionError("unreachable")

    async def SolveStream(
        self, request: searcher_pb2.SolveRequest, context: ServicerContext
    ) -> AsyncIterator[searcher_pb2.SearchEvent]:
        """See searcher.proto."""
        async with serving(context, "SolveStream"):
            interval = request.min_event_interval.ToMilliseconds() / 1000
            async with (
                self._search(request, context) as search,
                aclosing(self._follower.events(search, min_interval_seconds=interval)) as events,
            ):
                async for event in events:
                    if event.HasField("finished"):
                        _checked(event.finished.result)
                    yield event

    async def GetSearch(
        self, request: searcher_pb2.GetSearchRequest, context: ServicerContext
    ) -> searcher_pb2.GetSearchResponse:
        """See searcher.proto."""
        async with serving(context, "GetSearch"):
            search_id = request.search_id
            if request.WhichOneof("by") == "idempotency_key":
                search_id = new_search_id(request.idempotency_key)
            if not search_id:
                raise InvalidInput("must not be empty", field="search_id")
            return (await self._owned(search_id)).record.state
        raise AssertionError("unreachable")

    async def AttachSearch(
        self, request: searcher_pb2.AttachSearchRequest, context: ServicerContext
    ) -> AsyncIterator[searcher_pb2.SearchEvent]:
        """See searcher.proto."""
        async with serving(context, "AttachSearch"):
            interval = request.min_event_interval.ToMilliseconds() / 1000
            if owners_matter():
                await self._owned(request.search_id)
            search = request.search_id
            async with aclosing(
                self._follower.events(search, min_interval_seconds=interval)
            ) as events:
                async for event in events:
                    yield event

    async def CancelSearch(
        self, request: searcher_pb2.CancelSearchRequest, context: ServicerContext
    ) -> searcher_pb2.CancelSearchResponse:
        """See searcher.proto."""
        async with serving(context, "CancelSearch"):
            if owners_matter():
                await self._owned(request.search_id)
            if search := self._runner.live(request.search_id):
                search.cancel.set()
                return searcher_pb2.CancelSearchResponse(cancelled=True)
            stored = await self._records.get(request.search_id)
            if stored.running:
                try:
                    await self._bus.publish(search_cancel_subject(request.search_id), b"")
                except nats.errors.Error as error:
                    raise Unavailable(f"nats: {error}") from error
            return searcher_pb2.CancelSearchResponse(cancelled=stored.running)
        raise AssertionError("unreachable")

    async def GetTree(
        self, request: searcher_pb2.GetTreeRequest, context: ServicerContext
    ) -> searcher_pb2.GetTreeResponse:
        """See searcher.proto."""
        async with serving(context, "GetTree"):
            stored = await self._owned(request.search_id)
            if not stored.record.state.result.tree_key:
                raise NotFound(f"search {request.search_id!r} has no tree yet")
            data = await self._store.get(stored.record.state.result.tree_key)
            return searcher_pb2.GetTreeResponse(tree=tree_pb2.Tree.FromString(data))
        raise AssertionError("unreachable")

    async def _owned(self, search_id: str) -> Stored:
        """The record of a search that is the caller's."""
        stored = await self._records.get(search_id)
        check_owner(stored.record)
        return stored

    @asynccontextmanager
    async def _search(
        self, request: searcher_pb2.SolveRequest, context: ServicerContext
    ) -> AsyncGenerator[str]:
        """Start a search or join it by its key; gives its id, wherever it runs.

        A search without a key has one caller: when that one leaves, it ends.
        """
        tenant = await self._quotas.admit_call()
        search_request = replace(self._read(request, context), tenant=tenant.name)
        shared = bool(request.idempotency_key) and owners_matter()
        search = None
        if shared:  # the key may be another's, and what it names
            with suppress(NotFound):
                await self._owned(search_request.search_id)
        with suppress(Conflict):
            search = await self._runner.start(search_request)
        if shared:  # two may have come together
            if search is None:
                await self._owned(search_request.search_id)
            else:  # its record may not be written yet
                check_owner(search)
        if search is None:
            yield search_request.search_id
            return
        try:
            yield search.search_id
        finally:
            if not request.idempotency_key and not search.result.done():
                search.cancel.set()

    def _read(self, request: searcher_pb2.SolveRequest, context: ServicerContext) -> SearchRequest:
        seconds = remaining_seconds(context, at_most=self._defaults.max_wall_seconds)
        if seconds < LEAST_SECONDS:
            raise DeadlineExceeded("the deadline has passed")
        problem = wire.problem_from(request.problem, field="problem")
        settings = settings_from(request.settings, self._defaults)
        check_reference(problem.reference, settings, field="problem")
        if len(request.idempotency_key) > MAX_KEY_CHARACTERS:
            raise InvalidInput(f"at most {MAX_KEY_CHARACTERS}", field="idempotency_key")
        margin = max(ANSWER_MARGIN_SECONDS, ANSWER_MARGIN_SHARE * seconds)
        available = max(LEAST_SECONDS, seconds - margin)
        return SearchRequest(
            search_id=new_search_id(request.idempotency_key),
            problem=problem,
            settings=replace(settings, max_wall_seconds=min(settings.max_wall_seconds, available)),
            idempotency_key=request.idempotency_key,
            owner=present_owner(),
        )


def _checked(result: tree_pb2.SearchResult) -> tree_pb2.SearchResult:
    if result.status == tree_pb2.SEARCH_STATUS_FAILED:
        raise error_from(result.failure)
    return result
