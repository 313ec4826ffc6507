"""Batches: published on the queue, followed, and read while they run.

Publishing needs `nats-py`; everything else is gRPC. Publishing a batch again under its id is
harmless, so `submit` may be repeated until it succeeds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import urlsplit

from rstar.v1 import events_pb2, searcher_pb2, searcher_pb2_grpc
from rstar_client import wire
from rstar_client.connection import Connection
from rstar_client.errors import InvalidInput, NotFound, Unavailable
from rstar_client.values import Batch, BatchResult, Problem, Settings

SUBJECT = "rstar.batches.submit"
"""Where batches are published; those of a tenant a level below."""

TENANT_PREFIX = "publisher-"
"""Of the NATS users of tenants: such a user submits as that tenant."""

MAX_BYTES = 1_000_000
"""NATS takes 1 MiB, headers included. A larger batch is given as a key of the object store."""

_PAGE = 200
_POLL_SECONDS = 0.5
"""A batch has a state one asks for, and no stream."""

_ACCEPT_SECONDS = 30.0
"""How long a batch that was just published may be unknown."""


class Batches:
    """The batches of one system."""

    def __init__(self, connection: Connection, *, nats_url: str) -> None:
        self._connection = connection
        self._nats_url = nats_url
        self._stub = searcher_pb2_grpc.BatchServiceStub(connection.channel)
        self._submitted: dict[str, int] = {}
        """Sequence of the last submission of each batch: what was refused before is passed over."""

    async def submit(
        self, batch_id: str, problems: Sequence[Problem], settings: Settings | None = None
    ) -> None:
        """Put a batch on the queue; returns when it is stored.

        Raises:
            InvalidInput: it is empty or too large, or no `nats_url` was given.
            Unavailable: NATS did not take it.
        """
        submission = events_pb2.BatchSubmission(
            batch_id=batch_id,
            problems=[wire.problem_to(problem) for problem in problems],
            settings=wire.settings_to(settings or Settings()),
        )
        payload = submission.SerializeToString()
        if not problems:
            raise InvalidInput("a batch needs a problem", field="problems")
        if len(payload) > MAX_BYTES:
            raise InvalidInput(
                f"{len(payload)} bytes; at most {MAX_BYTES}: split the batch", field="problems"
            )
        if not self._nats_url:
            raise InvalidInput("needed to submit a batch", field="nats_url")
        self._submitted[batch_id] = await _publish(self._nats_url, payload)

    async def get(self, batch_id: str) -> Batch:
        """State and counts of a batch.

        Raises:
            NotFound: no such batch, or not yet.
        """
        request = searcher_pb2.GetBatchRequest(
            batch_id=batch_id, submission=self._submitted.get(batch_id, 0)
        )
        reply = await self._connection.call(
            lambda seconds: self._stub.GetBatch(request, timeout=seconds)
        )
        return wire.batch_from(reply.batch)

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult]:
        """Every result, in order of completion, until the batch has ended.

        Raises:
            NotFound: there is no such batch, and none came within half a minute.
        """
        page_token = ""
        known_by = time.monotonic() + _ACCEPT_SECONDS
        while True:
            request = searcher_pb2.ListBatchResultsRequest(
                batch_id=batch_id,
                page_size=_PAGE,
                page_token=page_token,
                submission=self._submitted.get(batch_id, 0),
            )
            try:
                page = await self._page(request)
            except NotFound:
                if page_token or time.monotonic() > known_by:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
                continue
            for item in page.results:
                yield wire.batch_result_from(item)
            if page.complete:
                return
            page_token = page.next_page_token
            if not page.results:
                await asyncio.sleep(_POLL_SECONDS)

    async def pause(self, batch_id: str) -> Batch:
        """Begin no new problem; running searches end normally. Raises `NotFound`."""
        request = searcher_pb2.PauseBatchRequest(batch_id=batch_id)
        reply = await self._connection.call(
            lambda seconds: self._stub.PauseBatch(request, timeout=seconds)
        )
        return wire.batch_from(reply.batch)

    async def resume(self, batch_id: str) -> Batch:
        """Go on with a paused batch. Raises `NotFound`."""
        request = searcher_pb2.ResumeBatchRequest(batch_id=batch_id)
        reply = await self._connection.call(
            lambda seconds: self._stub.ResumeBatch(request, timeout=seconds)
        )
        return wire.batch_from(reply.batch)

    async def cancel(self, batch_id: str) -> Batch:
        """End a batch; problems not begun get a cancelled result. Raises `NotFound`."""
        request = searcher_pb2.CancelBatchRequest(batch_id=batch_id)
        reply = await self._connection.call(
            lambda seconds: self._stub.CancelBatch(request, timeout=seconds)
        )
        return wire.batch_from(reply.batch)

    async def _page(
        self, request: searcher_pb2.ListBatchResultsRequest
    ) -> searcher_pb2.ListBatchResultsResponse:
        return await self._connection.call(
            lambda seconds: self._stub.ListBatchResults(request, timeout=seconds)
        )


async def _publish(url: str, payload: bytes) -> int:
    try:
        import nats
        import nats.errors
        import nats.js.errors
    except ImportError as error:
        raise Unavailable("submitting needs nats-py: pip install nats-py") from error
    user = urlsplit(url.split(",")[0]).username or ""
    tenant = user.removeprefix(TENANT_PREFIX) if user.startswith(TENANT_PREFIX) else ""
    try:
        client = await nats.connect(
            url,
            name="rstar-client",
            inbox_prefix=f"_REPLY.{user}" if tenant else "_INBOX",
            allow_reconnect=False,
            connect_timeout=5,
            error_cb=_unheard,
        )
        try:
            stored = await client.jetstream().publish(
                f"{SUBJECT}.{tenant}" if tenant else SUBJECT,
                payload,
                headers={"Content-Type": "application/protobuf"},
            )
        finally:
            await client.close()
    except (nats.errors.Error, nats.js.errors.Error, OSError) as error:
        raise Unavailable(f"NATS did not take the batch: {error}") from error
    return stored.seq


async def _unheard(error: Exception) -> None:
    """The caller sees the failure; nats-py would print it as well."""
