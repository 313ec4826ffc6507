"""BatchService: what publishers and operators ask of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rstar.v1 import events_pb2, searcher_pb2, searcher_pb2_grpc, types_pb2
from rstar_common.errors import InvalidInput, NotFound, Overloaded
from rstar_common.rpc import error_from, serving
from rstar_searcher.batches import DEFAULT_PAGE, MAX_PAGE, Batches, page_number
from rstar_searcher.tenants import check_batch, visible

if TYPE_CHECKING:
    from rstar_common.rpc import ServicerContext


PUBLISH_AGAIN_SECONDS = 60.0


class BatchServicer(searcher_pb2_grpc.BatchServiceServicer):
    """Any replica answers for every batch: all state is in NATS."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def GetBatch(
        self, request: searcher_pb2.GetBatchRequest, context: ServicerContext
    ) -> searcher_pb2.GetBatchResponse:
        """See searcher.proto."""
        async with serving(context, "GetBatch"):
            record = await self._record(request)
            return searcher_pb2.GetBatchResponse(batch=await self._batches.describe(record))
        raise AssertionError("unreachable")

    async def ListBatches(
        self, request: searcher_pb2.ListBatchesRequest, context: ServicerContext
    ) -> searcher_pb2.ListBatchesResponse:
        """See searcher.proto."""
        async with serving(context, "ListBatches"):
            first = page_number(request.page_token)
            if request.page_size > MAX_PAGE:
                raise InvalidInput(f"at most {MAX_PAGE}", field="page_size")
            after = first + (request.page_size or DEFAULT_PAGE)
            every = await self._batches.all_records()
            records = [record for record in every if visible(record.batch_id)]
            return searcher_pb2.ListBatchesResponse(
                batches=[await self._batches.describe(record) for record in records[first:after]],
                next_page_token=str(after) if after < len(records) else "",
            )
        raise AssertionError("unreachable")

    async def ListBatchResults(
        self, request: searcher_pb2.ListBatchResultsRequest, context: ServicerContext
    ) -> searcher_pb2.ListBatchResultsResponse:
        """See searcher.proto."""
        async with serving(context, "ListBatchResults"):
            record = await self._record(request)
            # Asked before the results are read: a page that reaches the end of a batch that was
            # done by then holds its last result.
            batch = await self._batches.describe(record)
            results, after = await self._batches.results(
                request.batch_id, page_size=request.page_size, page_token=request.page_token
            )
            full = len(results) == (request.page_size or DEFAULT_PAGE)
            ended = batch.done + batch.dead >= record.total + record.refused
            taken_in = record.state != searcher_pb2.BATCH_STATE_ACCEPTING
            return searcher_pb2.ListBatchResultsResponse(
                results=results, next_page_token=after, complete=ended and taken_in and not full
            )
        raise AssertionError("unreachable")

    async def PauseBatch(
        self, request: searcher_pb2.PauseBatchRequest, context: ServicerContext
    ) -> searcher_pb2.PauseBatchResponse:
        """See searcher.proto."""
        batch = await self._set_state(request, context, searcher_pb2.BATCH_STATE_PAUSED)
        return searcher_pb2.PauseBatchResponse(batch=batch)

    async def ResumeBatch(
        self, request: searcher_pb2.ResumeBatchRequest, context: ServicerContext
    ) -> searcher_pb2.ResumeBatchResponse:
        """See searcher.proto."""
        batch = await self._set_state(request, context, searcher_pb2.BATCH_STATE_RUNNING)
        return searcher_pb2.ResumeBatchResponse(batch=batch)

    async def CancelBatch(
        self, request: searcher_pb2.CancelBatchRequest, context: ServicerContext
    ) -> searcher_pb2.CancelBatchResponse:
        """See searcher.proto."""
        batch = await self._set_state(request, context, searcher_pb2.BATCH_STATE_CANCELLED)
        return searcher_pb2.CancelBatchResponse(batch=batch)

    async def _set_state(
        self,
        request: searcher_pb2.PauseBatchRequest
        | searcher_pb2.ResumeBatchRequest
        | searcher_pb2.CancelBatchRequest,
        context: ServicerContext,
        state: searcher_pb2.BatchState.ValueType,
    ) -> searcher_pb2.Batch:
        method = type(request).__name__.removesuffix("Request")
        async with serving(context, method):
            return await self._batches.set_state(_named(request.batch_id), state)
        raise AssertionError("unreachable")

    async def ListDeadLetters(
        self, request: searcher_pb2.ListDeadLettersRequest, context: ServicerContext
    ) -> searcher_pb2.ListDeadLettersResponse:
        """See searcher.proto."""
        async with serving(context, "ListDeadLetters"):
            check_batch(request.batch_id)
            letters, after = await self._batches.dead_letters(
                request.batch_id, page_size=request.page_size, page_token=request.page_token
            )
            full = len(letters) == (request.page_size or DEFAULT_PAGE)
            return searcher_pb2.ListDeadLettersResponse(
                dead_letters=letters, next_page_token=after if full else ""
            )
        raise AssertionError("unreachable")

    async def RetryDeadLetters(
        self, request: searcher_pb2.RetryDeadLettersRequest, context: ServicerContext
    ) -> searcher_pb2.RetryDeadLettersResponse:
        """See searcher.proto."""
        async with serving(context, "RetryDeadLetters"):
            if bool(request.dead_letter_ids) == bool(request.batch_id):
                raise InvalidInput("give either ids or a batch", field="dead_letter_ids")
            check_batch(request.batch_id)  # ids say nothing of whose they are
            ids = list(request.dead_letter_ids)
            page = ""
            while request.batch_id:
                letters, page = await self._batches.dead_letters(
                    request.batch_id, page_size=MAX_PAGE, page_token=page
                )
                ids += [letter.dead_letter_id for letter in letters if letter.retryable]
                if len(letters) < MAX_PAGE:
                    break
            retried, refused = 0, []
            for letter_id in ids:
                try:
                    if await self._batches.retry(letter_id):
                        retried += 1
                    else:
                        refused.append(letter_id)
                except NotFound:  # its problem has its result since it was listed
                    if not request.batch_id:
                        raise
            return searcher_pb2.RetryDeadLettersResponse(retried=retried, refused_ids=refused)
        raise AssertionError("unreachable")

    async def _record(
        self, request: searcher_pb2.GetBatchRequest | searcher_pb2.ListBatchResultsRequest
    ) -> events_pb2.BatchRecord:
        """The record of a batch, or why it is not taken in: it was refused as a whole."""
        batch_id = _named(request.batch_id)
        try:
            record = (await self._batches.record(batch_id))[0]
        except NotFound:
            await self._tell_refusal(request)
            raise
        if record.state == searcher_pb2.BATCH_STATE_ACCEPTING:  # and then given up, perhaps
            await self._tell_refusal(request)
        return record

    async def _tell_refusal(
        self, request: searcher_pb2.GetBatchRequest | searcher_pb2.ListBatchResultsRequest
    ) -> None:
        letter = await self._batches.refusal(request.batch_id)
        if letter is None or letter.submission < request.submission:
            return
        letter.failure.message += f" (at {letter.at.ToJsonString()})"
        if letter.failure.code == types_pb2.FAILURE_CODE_UNAVAILABLE:
            # What was away may be back, but nobody tries any more.
            raise Overloaded(
                f"given up, publish it again: {letter.failure.message}",
                retry_after_seconds=PUBLISH_AGAIN_SECONDS,
            )
        raise error_from(letter.failure)


def _named(batch_id: str) -> str:
    if not batch_id:
        raise InvalidInput("must not be empty", field="batch_id")
    check_batch(batch_id)
    return batch_id
