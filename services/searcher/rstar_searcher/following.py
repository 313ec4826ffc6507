"""Follow a search wherever it runs, and go on with one whose searcher died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import nats.errors
from nats.aio.client import Client

from rstar.v1 import searcher_pb2, tree_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import Conflict, NotFound, Unavailable
from rstar_common.streams import search_events_subject, search_watch_subject
from rstar_searcher.live import LiveSearch
from rstar_searcher.records import SearchRecords, Stored
from rstar_searcher.remote import ASK_SECONDS
from rstar_searcher.request import request_from
from rstar_searcher.runner import Runner
from rstar_searcher.settings import SearchSettings


class Follower:
    """Knows the searches of this replica, and asks others for theirs."""

    def __init__(
        self,
        runner: Runner,
        records: SearchRecords,
        store: ObjectStore,
        bus: Client,
        defaults: SearchSettings,
    ) -> None:
        self._runner = runner
        self._records = records
        self._store = store
        self._bus = bus
        self._defaults = defaults

    async def result(self, search_id: str) -> tree_pb2.SearchResult:
        """Wait for the result of a search."""
        if search := self._runner.live(search_id):
            with suppress(Conflict):  # another replica took it: its result is as good
                return await asyncio.shield(search.result)
        async for event in self.events(search_id, min_interval_seconds=ASK_SECONDS):
            last = event
        return last.finished.result

    async def events(
        self, search_id: str, *, min_interval_seconds: float
    ) -> AsyncGenerator[searcher_pb2.SearchEvent]:
        """Events of a search wherever it runs; one whose searcher died is gone on with here."""
        while True:
            if search := self._runner.live(search_id):
                events = self._local(search, min_interval_seconds)
            else:
                events = self._elsewhere(search_id)
            async with aclosing(events):
                async for event in events:
                    yield event
                    if event.HasField("finished"):
                        return
            # It changed hands: look again where it is.

    async def _local(
        self, search: LiveSearch, min_interval_seconds: float
    ) -> AsyncGenerator[searcher_pb2.SearchEvent]:
        watching = search.subscribe()
        try:
            async for event in watching.events(min_interval_seconds=min_interval_seconds):
                yield event
        except Conflict:
            return
        finally:
            search.unsubscribe(watching)

    async def _elsewhere(self, search_id: str) -> AsyncGenerator[searcher_pb2.SearchEvent]:
        stored = await self._records.get(search_id)
        if not stored.ended:
            subscription = await self._bus.subscribe(
                search_events_subject(search_id), pending_msgs_limit=256
            )
            clock = asyncio.get_running_loop().time
            ask_at = clock()
            try:
                while not stored.ended:
                    if clock() >= ask_at:
                        await self._bus.publish(search_watch_subject(search_id), b"")
                        ask_at = clock() + ASK_SECONDS
                        stored = await self._records.get(search_id)
                        if await self._revived(stored):
                            return
                    with suppress(nats.errors.TimeoutError):
                        msg = await subscription.next_msg(timeout=ASK_SECONDS)
                        event = searcher_pb2.SearchEvent.FromString(msg.data)
                        yield event
                        if event.HasField("finished"):
                            return
            except nats.errors.Error as error:
                raise Unavailable(f"nats: {error}") from error
            finally:
                await subscription.unsubscribe()
        result = await self._recorded(stored)
        yield searcher_pb2.SearchEvent(
            search_id=search_id,
            cost=result.cost,
            finished=searcher_pb2.SearchFinished(result=result),
        )

    async def _recorded(self, stored: Stored) -> tree_pb2.SearchResult:
        """What the first caller was told. A record is small: trajectories are in the tree."""
        result = stored.record.state.result
        if not result.tree_key:
            return result
        try:
            tree = tree_pb2.Tree.FromString(await self._store.get(result.tree_key))
        except NotFound:  # trees may be thrown away before records are
            return result
        return tree.result

    async def _revived(self, stored: Stored) -> bool:
        """Go on here with an interactive search whose searcher died; batches have the queue."""
        if stored.ended or stored.running or stored.record.batch_id:
            return False
        search_id = stored.record.search_id
        begun = await self._runner.begun(search_id)
        if begun is None:
            raise Unavailable(f"the searcher of {search_id} died before it began; call Solve again")
        with suppress(Conflict):  # another replica was faster
            await self._runner.start(request_from(search_id, begun, self._defaults))
        return True
