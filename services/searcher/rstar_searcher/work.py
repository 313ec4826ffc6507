"""Works on queued problems: one search each, one result each."""

from __future__ import annotations

import asyncio
import logging

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from rstar.v1 import events_pb2, searcher_pb2, tree_pb2
from rstar_common.consumer import NotYet
from rstar_common.errors import Conflict, InvalidInput, NotFound, Unavailable
from rstar_common.rpc import failure_of
from rstar_searcher import wire
from rstar_searcher.batches import Batches
from rstar_searcher.records import SearchRecords
from rstar_searcher.request import SearchRequest
from rstar_searcher.results import recorded
from rstar_searcher.runner import Runner
from rstar_searcher.settings import SearchSettings
from rstar_searcher.settings_wire import settings_from

logger = logging.getLogger(__name__)

PAUSE_SECONDS, PAUSE_DOUBLINGS = 2.0, 4
"""How long a problem of a paused batch is put aside before it is looked at again: twice as long
each time, up to half a minute. Redeliveries come before what is new: many that came back at once
would keep a searcher from what lies behind them."""


class Work:
    """Handles messages of the WORK stream."""

    def __init__(
        self,
        batches: Batches,
        records: SearchRecords,
        runner: Runner,
        defaults: SearchSettings,
    ) -> None:
        self._batches = batches
        self._records = records
        self._runner = runner
        self._defaults = defaults

    async def handle(self, msg: Msg) -> None:
        """Search one problem and store its result. Safe to do twice."""
        item = _decode(msg)
        if await self._batches.has_result(item.batch_id, item.problem.problem_id):
            await self._batches.forget_letter(item.batch_id, item.problem.problem_id)
            return
        record, _ = await self._batches.record(item.batch_id)
        if record.state == searcher_pb2.BATCH_STATE_PAUSED:
            times = min(msg.metadata.num_delivered - 1, PAUSE_DOUBLINGS)
            raise NotYet("the batch is paused", delay_seconds=PAUSE_SECONDS * 2**times)
        if record.state == searcher_pb2.BATCH_STATE_CANCELLED:
            result = tree_pb2.SearchResult(
                search_id=item.search_id,
                problem_id=item.problem.problem_id,
                status=tree_pb2.SEARCH_STATUS_CANCELLED,
                ended_by=tree_pb2.ENDED_BY_CANCEL,
            )
        else:
            result = await self._search(item)
        await self._put(item, result)

    async def _search(self, item: events_pb2.WorkItem) -> tree_pb2.SearchResult:
        request = SearchRequest(
            search_id=item.search_id,
            problem=wire.problem_from(item.problem, field="problem", id_required=True),
            settings=settings_from(item.settings, self._defaults),
            batch_id=item.batch_id,
        )
        try:
            search = await self._runner.start(request)
        except Conflict:
            stored = await self._records.get(item.search_id)
            if stored.ended:  # its searcher died between the record and the result
                await self._runner.forget(item.search_id)
                return stored.record.state.result
            raise self._elsewhere(item) from None
        try:
            return await asyncio.shield(search.result)
        except Conflict as error:
            # Conflict would be taken for "done": the searcher that took it may yet fail.
            raise self._elsewhere(item) from error

    def _elsewhere(self, item: events_pb2.WorkItem) -> NotYet:
        # A second delivery of what another searches: it is looked at again when that one is
        # either done or dead.
        return NotYet(
            f"search {item.search_id} is held by another searcher",
            delay_seconds=self._records.lease_seconds,
        )

    async def _put(self, item: events_pb2.WorkItem, result: tree_pb2.SearchResult) -> None:
        batch_result = searcher_pb2.BatchResult(
            batch_id=item.batch_id,
            problem_id=item.problem.problem_id,
            result=recorded(result),
            labels=item.problem.labels,
            question=item.problem.question,
        )
        batch_result.finished_at.GetCurrentTime()
        await self._batches.put_result(batch_result)

    async def bury(self, msg: Msg, error: Exception, attempts: int) -> None:
        """Dead-letter a problem that was given up; `RetryDeadLetters` puts it back."""
        try:
            item = _decode(msg)
        except InvalidInput:
            item = events_pb2.WorkItem()
        if item.batch_id and await self._is_stale(item):
            return
        letter = searcher_pb2.DeadLetter(
            batch_id=item.batch_id,
            problem_id=item.problem.problem_id,
            failure=failure_of(error, service="searcher"),
            attempts=attempts,
            payload=msg.data,
            content_type="application/protobuf; message=rstar.v1.WorkItem",
            retryable=bool(item.batch_id),
        )
        await self._batches.put_dead(letter, item=item.problem.problem_id or msg.subject)
        if item.batch_id and await self._is_stale(item):  # it came at the same moment
            await self._batches.forget_letter(item.batch_id, item.problem.problem_id)
            return
        logger.warning(
            "problem dead-lettered: %s",
            error,
            extra={"batch_id": item.batch_id, "problem_id": item.problem.problem_id},
        )

    async def _is_stale(self, item: events_pb2.WorkItem) -> bool:
        try:
            return await self._batches.has_result(item.batch_id, item.problem.problem_id)
        except (NotFound, Unavailable):
            return False


def _decode(msg: Msg) -> events_pb2.WorkItem:
    try:
        return events_pb2.WorkItem.FromString(msg.data)
    except DecodeError as error:
        raise InvalidInput("not a rstar.v1.WorkItem") from error
