"""The journal of a running search: one JetStream subject, one writer at a time.

Every append carries the sequence of the last message its writer knows on the subject, and
the server refuses it when there is a later one. So the first append of a new writer is a
fence: whoever wrote before it, was paused and wakes up, cannot write any more. That, and
not the lease, is what keeps a search to one searcher (ADR 4).

Appends never wait. One writer task takes all that has come together since its last append
and writes it as one message, so a slow NATS makes larger messages and not a slower search;
only when much is unwritten does `room` hold the search. While NATS is away the writer tries
again for ever.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError, NotFoundError

from rstar.v1 import journal_pb2
from rstar_common.errors import Conflict, Unavailable
from rstar_common.streams import JOURNAL, journal_subject
from rstar_searcher.driver import EndedBy
from rstar_searcher.journal_wire import History, ended_entry, history_of, told_entry
from rstar_searcher.meter import Meter
from rstar_searcher.strategies import Told

logger = logging.getLogger(__name__)

MAX_RECORD_BYTES = 512 * 1024
"""Of entries in one message; NATS takes 1 MiB."""

MAX_UNWRITTEN_BYTES = 4 * 2**20
MAX_UNWRITTEN_ENTRIES = 64
"""With more than this unwritten, no result is taken: it would be searched again after a crash."""

APPEND_SECONDS = 5.0
RETRY_SECONDS = 0.25
FENCE_TRIES = 5
_WRONG_LAST_SEQUENCE = 10071


class Journal:
    """One writer's hold of one search's journal."""

    def __init__(self, jetstream: JetStreamContext, subject: str, *, last: int) -> None:
        """Write after the message with sequence `last` (0: there is none)."""
        self._jetstream = jetstream
        self._subject = subject
        self._last = last
        self._writer = secrets.token_hex(8)
        self._index = 0
        self._unwritten: deque[bytes] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._progress = asyncio.Condition()
        self._closed = False

    def told(self, told: Told, meter: Meter) -> None:
        """Append an expansion and the cost so far. Never waits."""
        self.append(told_entry(told, meter))

    def append(self, entry: journal_pb2.JournalEntry) -> None:
        """Append an entry. Never waits."""
        # `JournalEntries` of one entry each: their concatenation is `JournalEntries` of all.
        data = journal_pb2.JournalEntries(entries=[entry]).SerializeToString()
        self._unwritten.append(data)
        self._bytes += len(data)
        self._arrived.set()

    async def room(self) -> None:
        """Wait while too much is unwritten."""
        if self._full():
            async with self._progress:
                await self._progress.wait_for(lambda: not self._full())

    async def ended(self, ended: EndedBy, meter: Meter) -> None:
        """Append the end of the search and wait until all is written."""
        self.append(ended_entry(ended, meter))
        await self.written()

    async def written(self) -> None:
        """Wait until all is written."""
        async with self._progress:
            await self._progress.wait_for(lambda: not self._unwritten)

    async def run(self) -> None:
        """Write what is appended, until `close`.

        Raises:
            Conflict: another searcher took the search.
        """
        while not self._closed:
            await self._arrived.wait()
            self._arrived.clear()
            while self._unwritten and not self._closed:
                count, size = self._batch()
                await self.write(b"".join(list(self._unwritten)[:count]))
                for _ in range(count):
                    self._unwritten.popleft()
                self._bytes -= size
                async with self._progress:
                    self._progress.notify_all()

    def close(self) -> None:
        """End `run`; what is unwritten is lost.

        Cancelling it is not enough: `asyncio.wait_for` of Python 3.11, in the NATS client,
        swallows a cancellation that comes together with the reply.
        """
        self._closed = True
        self._arrived.set()

    async def write(self, entries: bytes) -> None:
        """Write entries now, in as many messages as they need; none is the mere fence.

        Raises:
            Conflict: another searcher took the search.
        """
        for first in range(0, max(1, len(entries)), MAX_RECORD_BYTES):
            after = first + MAX_RECORD_BYTES
            await self._publish(
                journal_pb2.JournalRecord(
                    writer=self._writer,
                    index=self._index,
                    entries=entries[first:after],
                    continued=after < len(entries),
                )
            )

    def _full(self) -> bool:
        return len(self._unwritten) > MAX_UNWRITTEN_ENTRIES or self._bytes > MAX_UNWRITTEN_BYTES

    def _batch(self) -> tuple[int, int]:
        count = size = 0
        for data in self._unwritten:
            if count and size + len(data) > MAX_RECORD_BYTES:
                break
            count, size = count + 1, size + len(data)
        return count, size

    async def _publish(self, record: journal_pb2.JournalRecord) -> None:
        payload = record.SerializeToString()
        while not self._closed:
            headers = {str(Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value): str(self._last)}
            try:
                ack = await self._jetstream.publish(
                    self._subject, payload, timeout=APPEND_SECONDS, headers=headers
                )
            except APIError as error:
                if error.err_code != _WRONG_LAST_SEQUENCE:
                    logger.warning("journal: %s", error)
                elif await self._was_stored(record):
                    return
                else:
                    raise Conflict("another searcher took the search") from error
            except nats.errors.Error as error:
                logger.warning("journal: not confirmed: %s", error)
            else:
                self._last, self._index = ack.seq, self._index + 1
                return
            # NATS reconnects by itself and tells nobody who waits here.
            await asyncio.sleep(RETRY_SECONDS)

    async def _was_stored(self, record: journal_pb2.JournalRecord) -> bool:
        """Whether the refusal is of our own second try: the first was stored, its reply lost."""
        while True:
            try:
                message = await self._jetstream.get_last_msg(JOURNAL, self._subject)
            except NotFoundError:
                return False
            except nats.errors.Error as error:
                logger.warning("journal: not readable: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            last = journal_pb2.JournalRecord.FromString(message.data or b"")
            if (last.writer, last.index) != (record.writer, record.index):
                return False
            self._last, self._index = message.seq or 0, self._index + 1
            return True


class Journals:
    """Every search's journal."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    async def open(self, search_id: str, begun: journal_pb2.SearchBegun) -> tuple[Journal, History]:
        """Take a search: fence whoever had it, and learn what it was told.

        Raises:
            Conflict: others keep taking it too.
            Unavailable: NATS did not answer.
        """
        subject = journal_subject(search_id)
        for _ in range(FENCE_TRIES):
            history, last = await self._read(subject)
            journal = Journal(self._jetstream, subject, last=last)
            entries = b""
            if history.begun is None:
                history.begun = begun
                entry = journal_pb2.JournalEntry(begun=begun)
                entries = journal_pb2.JournalEntries(entries=[entry]).SerializeToString()
            try:
                await journal.write(entries)
            except Conflict:
                continue  # somebody appended since we read
            return journal, history
        raise Conflict(f"search {search_id} is being taken by others")

    async def begun(self, search_id: str) -> journal_pb2.SearchBegun | None:
        """What a search that has not ended is about; None without a journal."""
        history, _ = await self._read(journal_subject(search_id))
        return history.begun

    async def purge(self, search_id: str) -> None:
        """Forget a search whose tree is written. Failing to is harmless: journals age out."""
        try:
            await self._jetstream.purge_stream(JOURNAL, subject=journal_subject(search_id))
        except nats.errors.Error as error:
            logger.warning("journal of %s not purged: %s", search_id, error)

    async def _read(self, subject: str) -> tuple[History, int]:
        records: list[journal_pb2.JournalRecord] = []
        last = 0
        while True:
            try:
                # By the stream's leader, message by message: what it says is complete.
                message = await self._jetstream.get_msg(
                    JOURNAL, seq=last + 1, subject=subject, next=True
                )
            except NotFoundError:
                return history_of(records), last
            except nats.errors.Error as error:
                raise Unavailable(f"journal: {error}") from error
            records.append(journal_pb2.JournalRecord.FromString(message.data or b""))
            last = message.seq or 0
