"""Batches as NATS knows them: the record, the counts, the results, the dead letters."""

from __future__ import annotations

import re
from contextlib import suppress

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RawStreamMsg
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.errors import NotFoundError as NatsNotFound
from nats.js.kv import KeyValue

from rstar.v1 import events_pb2, searcher_pb2
from rstar_common import tracing
from rstar_common.bus import publish_once
from rstar_common.errors import Conflict, InvalidInput, NotFound, Unavailable
from rstar_common.streams import (
    BATCH_RECORDS,
    DEAD,
    DEAD_ALL,
    RESULTS,
    bucket_keys,
    dead_subject,
    result_subject,
    token,
    work_subject,
)
from rstar_searcher.tenants import Tenants

MAX_PAGE = 1000
DEFAULT_PAGE = 100
PAGE_TOKEN = re.compile(r"[0-9]{1,18}")
_NO_SUCH_SEQUENCE = 10043
_NO_SUCH_MESSAGE = "no message found"
"""What JetStream says of a message that is gone: in a cluster, and alone (as error 10057)."""

MAX_DEAD_PAYLOAD_BYTES = 64 * 1024
REFUSAL = "the batch itself"
"""Item of the dead letter of a batch that was refused for a quota; no problem's id has spaces."""


def page_number(page_token: str) -> int:
    """Where a page begins; 0 without a token.

    Raises:
        InvalidInput: it is no token of ours.
    """
    if page_token and not PAGE_TOKEN.fullmatch(page_token):
        raise InvalidInput("not a token of ours", field="page_token")
    return int(page_token or 0)


class Batches:
    """Reads and writes the state of batches. Every write may be done twice."""

    def __init__(
        self, jetstream: JetStreamContext, bucket: KeyValue, tenants: Tenants | None = None
    ) -> None:
        """Without `tenants` all work is the house's."""
        self._jetstream = jetstream
        self._bucket = bucket
        self._tenants = tenants or Tenants()

    async def record(self, batch_id: str) -> tuple[events_pb2.BatchRecord, int]:
        """The record of a batch and its revision.

        Raises:
            NotFound: there is no such batch.
        """
        try:
            entry = await self._bucket.get(token(batch_id))
        except KeyNotFoundError as error:
            raise NotFound(f"no batch {batch_id!r}") from error
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"batch records: {error}") from error
        return events_pb2.BatchRecord.FromString(entry.value or b""), entry.revision or 0

    async def write(self, record: events_pb2.BatchRecord, *, revision: int) -> None:
        """Replace a record at `revision` (0: it must not exist).

        Raises:
            Conflict: somebody else wrote it.
        """
        try:
            await self._bucket.update(
                token(record.batch_id), record.SerializeToString(), last=revision
            )
        except KeyWrongLastSequenceError as error:
            raise Conflict(f"batch {record.batch_id!r} changed meanwhile") from error
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"batch records: {error}") from error

    async def set_state(
        self, batch_id: str, state: searcher_pb2.BatchState.ValueType
    ) -> searcher_pb2.Batch:
        """Pause, resume or cancel; a cancelled batch stays so."""
        while True:
            record, revision = await self.record(batch_id)
            if record.state in (state, searcher_pb2.BATCH_STATE_CANCELLED):
                break
            if record.state == searcher_pb2.BATCH_STATE_ACCEPTING:
                raise Unavailable(f"batch {batch_id!r} is still being taken in")
            record.state = state
            try:
                await self.write(record, revision=revision)
                break
            except Conflict:
                continue
        return await self.describe(record)

    async def describe(self, record: events_pb2.BatchRecord) -> searcher_pb2.Batch:
        """A batch and how far it is."""
        done, last = await self._count(RESULTS, result_subject(record.batch_id))
        dead, _ = await self._count(DEAD, dead_subject(record.batch_id))
        batch = searcher_pb2.Batch(
            batch_id=record.batch_id,
            state=record.state,
            total=record.total,
            done=done,
            dead=dead,
            created_at=record.created_at,
            settings=record.settings,
        )
        finished = done + dead >= record.total + record.refused
        if finished and record.state == searcher_pb2.BATCH_STATE_RUNNING:
            batch.state = searcher_pb2.BATCH_STATE_DONE
        if last is not None:
            batch.updated_at.CopyFrom(
                events_result(last).finished_at,
            )
        return batch

    async def all_records(self) -> list[events_pb2.BatchRecord]:
        """Every batch, newest first."""
        records = []
        for key in await bucket_keys(self._jetstream, BATCH_RECORDS):
            entry = await self._bucket.get(key)
            records.append(events_pb2.BatchRecord.FromString(entry.value or b""))
        return sorted(records, key=lambda r: (-r.created_at.ToNanoseconds(), r.batch_id))

    async def has_result(self, batch_id: str, problem_id: str) -> bool:
        """Whether a problem already has its one result."""
        message = await self._next(RESULTS, result_subject(batch_id, problem_id), 1)
        return message is not None

    async def put_result(self, result: searcher_pb2.BatchResult) -> None:
        """Store the one result of a problem; a second one is refused in silence.

        A problem that was given up before, and has its result after all, is a dead letter no more.
        """
        with suppress(Conflict):
            await publish_once(
                self._jetstream,
                result_subject(result.batch_id, result.problem_id),
                result.SerializeToString(),
            )
        await self.forget_letter(result.batch_id, result.problem_id)

    async def forget_letter(self, batch_id: str, problem_id: str) -> None:
        """A problem has its result: no letter says that it was given up."""
        await self._forget(dead_subject(batch_id, problem_id))

    async def results(
        self, batch_id: str, *, page_size: int, page_token: str
    ) -> tuple[list[searcher_pb2.BatchResult], str]:
        """A page of results in order of completion, and the token of what follows."""
        messages, after = await self._page(RESULTS, result_subject(batch_id), page_size, page_token)
        return [events_result(message) for message in messages], after

    async def put_work(self, item: events_pb2.WorkItem) -> None:
        """Queue a problem; one that waits already is left as it is."""
        ids = {"batch_id": item.batch_id, "problem_id": item.problem.problem_id}
        tenant = self._tenants.of_batch(item.batch_id).name
        with tracing.new_trace("enqueue", search_id=item.search_id, **ids), suppress(Conflict):
            await publish_once(
                self._jetstream,
                work_subject(item.batch_id, item.problem.problem_id, tenant),
                item.SerializeToString(),
            )

    async def put_dead(self, letter: searcher_pb2.DeadLetter, *, item: str) -> None:
        """Store a dead letter; `item` names it in its batch, so doing it again changes nothing."""
        subject = dead_subject(letter.batch_id, item)
        letter.dead_letter_id = subject.removeprefix("rstar.dead.")
        if len(letter.payload) > MAX_DEAD_PAYLOAD_BYTES:
            letter.payload = letter.payload[:MAX_DEAD_PAYLOAD_BYTES]
            letter.retryable = False
        letter.at.GetCurrentTime()
        await publish_once(self._jetstream, subject, letter.SerializeToString())

    async def refusal(self, batch_id: str) -> searcher_pb2.DeadLetter | None:
        """Why the batch as a whole was not taken in, if that is so."""
        message = await self._next(DEAD, dead_subject(batch_id, REFUSAL), 1)
        return searcher_pb2.DeadLetter.FromString(message.data or b"") if message else None

    async def forget_refusal(self, batch_id: str) -> None:
        """The batch was published again and is taken in now."""
        await self._forget(dead_subject(batch_id, REFUSAL))

    async def _forget(self, subject: str) -> None:
        message = await self._next(DEAD, subject, 1)
        if message and message.seq:
            await self._delete_letter(message.seq)

    async def _delete_letter(self, sequence: int) -> None:
        try:
            await self._jetstream.delete_msg(DEAD, sequence)
        except (nats.errors.Error, APIError) as error:
            if isinstance(error, APIError) and (
                error.err_code == _NO_SUCH_SEQUENCE or error.description == _NO_SUCH_MESSAGE
            ):
                return  # somebody else did
            raise Unavailable(f"{DEAD}: {error}") from error

    async def dead_letters(
        self, batch_id: str, *, page_size: int, page_token: str
    ) -> tuple[list[searcher_pb2.DeadLetter], str]:
        """A page of dead letters of one batch, or of all."""
        subject = dead_subject(batch_id) if batch_id else DEAD_ALL
        messages, after = await self._page(DEAD, subject, page_size, page_token)
        return [
            searcher_pb2.DeadLetter.FromString(message.data or b"") for message in messages
        ], after

    async def retry(self, dead_letter_id: str) -> bool:
        """Put a dead letter back to work; False if it cannot be.

        Raises:
            NotFound: there is no such letter.
        """
        if dead_letter_id.count(".") != 1 or any(c in dead_letter_id for c in "*> "):
            raise InvalidInput("not a dead letter's id", field="dead_letter_ids")
        message = await self._next(DEAD, f"rstar.dead.{dead_letter_id}", 1)
        if message is None or message.seq is None:
            raise NotFound(f"no dead letter {dead_letter_id!r}")
        letter = searcher_pb2.DeadLetter.FromString(message.data or b"")
        if not letter.retryable:
            return False
        item = events_pb2.WorkItem.FromString(letter.payload)
        await self.put_work(item)
        await self._delete_letter(message.seq)
        return True

    async def _page(
        self, stream: str, subject: str, page_size: int, page_token: str
    ) -> tuple[list[RawStreamMsg], str]:
        sequence = page_number(page_token) or 1
        if page_size > MAX_PAGE:
            raise InvalidInput(f"at most {MAX_PAGE}", field="page_size")
        found: list[RawStreamMsg] = []
        while len(found) < (page_size or DEFAULT_PAGE):
            # A replica may be behind; where it knows no more, the stream's leader is asked.
            message = await self._next(stream, subject, sequence) or await self._next(
                stream, subject, sequence, direct=False
            )
            if message is None or message.seq is None:
                break
            found.append(message)
            sequence = message.seq + 1
        return found, str(sequence)

    async def _next(
        self, stream: str, subject: str, sequence: int, *, direct: bool = True
    ) -> RawStreamMsg | None:
        try:
            return await self._jetstream.get_msg(
                stream, seq=sequence, subject=subject, direct=direct, next=True
            )
        except NatsNotFound:
            return None
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"{stream}: {error}") from error

    async def _count(self, stream: str, subject: str) -> tuple[int, RawStreamMsg | None]:
        """How many messages a subject filter holds, and the last of them."""
        try:
            info = await self._jetstream.add_consumer(
                stream,
                ConsumerConfig(
                    ack_policy=AckPolicy.NONE,
                    deliver_policy=DeliverPolicy.ALL,
                    filter_subject=subject,
                    inactive_threshold=1.0,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
            count = info.num_pending or 0
            last = None
            if count and stream == RESULTS:
                last = await self._jetstream.get_last_msg(stream, subject)
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"{stream}: {error}") from error
        return count, last


def events_result(message: RawStreamMsg) -> searcher_pb2.BatchResult:
    """The result a stored message holds."""
    return searcher_pb2.BatchResult.FromString(message.data or b"")
