"""One batch, from its publication to its last result."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from rstar.v1 import events_pb2, searcher_pb2, searcher_pb2_grpc, types_pb2
from rstar_cli.connection import nats_client
from rstar_common.artifacts import INBOX, ObjectStore
from rstar_common.bus import publish_once
from rstar_common.config import NatsSettings, ObjectStoreSettings
from rstar_common.errors import NotFound, Unavailable
from rstar_common.lines import json_line, json_lines
from rstar_common.nats_roles import tenant_of
from rstar_common.rpc import call
from rstar_common.streams import submit_subject, token

INLINE_BYTES = 900_000
"""Above this a batch goes through the store: NATS takes 1 MiB, headers included."""

FINISHED = (searcher_pb2.BATCH_STATE_DONE, searcher_pb2.BATCH_STATE_CANCELLED)
_POLL_SECONDS = 0.5
"""A batch has a state one asks for, and no stream."""

_ACCEPT_SECONDS = 30.0
_CALL_SECONDS = 30.0

ResultT = TypeVar("ResultT")

WireFormat = Literal["json", "protobuf"]
_CONTENT_TYPES = {"json": "application/json", "protobuf": "application/protobuf"}


def new_batch_id(stem: str, *, tenant: str = "") -> str:
    """A fresh id that says whose it is, and where and when it came from."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem)[:64]
    when = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{tenant and tenant + '/'}{safe}-{when}-{secrets.token_hex(2)}"


def encode(submission: events_pb2.BatchSubmission, wire_format: WireFormat) -> bytes:
    """The message of a submission."""
    if wire_format == "protobuf":
        return submission.SerializeToString()
    return json_line(submission).encode()


async def publish(
    nats: NatsSettings,
    store: ObjectStoreSettings,
    submission: events_pb2.BatchSubmission,
    *,
    wire_format: WireFormat = "json",
) -> int:
    """Publish a batch, through the store if it is large. Publishing it again is harmless.

    The user says whose it is: `publisher-TENANT` submits as that tenant. Returns the sequence of
    the submission, for `follow`.

    Raises:
        Unavailable: the queue or the store did not take it.
    """
    tenant = tenant_of(nats.user)
    payload = encode(submission, wire_format)
    if len(payload) > INLINE_BYTES:
        lines = json_lines(submission.problems)
        digest = hashlib.sha256(lines).hexdigest()[:16]
        key = f"{_inbox(tenant)}{token(submission.batch_id)}/{digest}.jsonl"
        await ObjectStore(store).put(key, lines)
        by_key = events_pb2.BatchSubmission(
            batch_id=submission.batch_id, settings=submission.settings, problems_key=key
        )
        payload = encode(by_key, wire_format)
    async with nats_client(nats) as client:
        jetstream = client.jetstream()
        headers = {"Content-Type": _CONTENT_TYPES[wire_format]}
        return await publish_once(jetstream, submit_subject(tenant), payload, headers=headers)


def _inbox(tenant: str) -> str:
    return f"{INBOX}{tenant}/" if tenant else INBOX


async def follow(
    stub: searcher_pb2_grpc.BatchServiceAsyncStub, batch_id: str, *, submission: int = 0
) -> AsyncIterator[searcher_pb2.Batch]:
    """The batch as it is now and then, until it has finished; the last one has.

    A searcher that restarts meanwhile is waited for. With a `submission`, what was refused of
    earlier ones is passed over.

    Raises:
        NotFound: nobody has accepted such a batch.
        Unavailable: no searcher answers.
    """
    heard = time.monotonic()
    while True:
        try:
            request = searcher_pb2.GetBatchRequest(batch_id=batch_id, submission=submission)
            batch = (await call(stub.GetBatch(request, timeout=_CALL_SECONDS))).batch
        except (NotFound, Unavailable):
            # Just published, or its searcher was restarted: both pass.
            if time.monotonic() - heard > _ACCEPT_SECONDS:
                raise
        else:
            heard = time.monotonic()
            yield batch
            if batch.state in FINISHED:
                return
        await asyncio.sleep(_POLL_SECONDS)


async def answered(ask: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """What a call answers; as in `follow`, a searcher that restarts meanwhile is waited for.

    Raises:
        Unavailable: no searcher answers.
    """
    asked = time.monotonic()
    while True:
        try:
            return await call(ask())
        except Unavailable:
            if time.monotonic() - asked > _ACCEPT_SECONDS:
                raise
        await asyncio.sleep(_POLL_SECONDS)


async def results(
    stub: searcher_pb2_grpc.BatchServiceAsyncStub, batch_id: str
) -> list[searcher_pb2.BatchResult]:
    """Every result there is now. Raises `NotFound`."""
    found: list[searcher_pb2.BatchResult] = []
    page_token = ""
    while True:
        request = searcher_pb2.ListBatchResultsRequest(
            batch_id=batch_id, page_size=200, page_token=page_token
        )
        page = await call(stub.ListBatchResults(request, timeout=_CALL_SECONDS))
        found += page.results
        if page.complete or not page.results:
            return found
        page_token = page.next_page_token


def submission_of(
    batch_id: str,
    problems: Sequence[types_pb2.Problem],
    settings: types_pb2.SearchSettings,
) -> events_pb2.BatchSubmission:
    """What is published."""
    return events_pb2.BatchSubmission(batch_id=batch_id, problems=problems, settings=settings)
