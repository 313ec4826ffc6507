"""What is remembered of searches outside their trees, in a JetStream bucket.

A record under RUNNING is a lease: its searcher renews it, and a record that was not renewed
for `lease_seconds` belongs to a searcher that died. Writing needs the revision that was
read, so of two searchers that want a search one wins. The lease says who may take a search;
what keeps a sleeper from writing is the search's journal.

Clocks of two machines may differ. So a lease also ends when its record was seen unchanged for
`lease_seconds` by the clock that only counts: a searcher that died with its clock ahead would
otherwise hold its searches until the others' clocks have caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace

import nats.errors
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from rstar.v1 import events_pb2, tree_pb2
from rstar_common.errors import Conflict, NotFound, Unavailable
from rstar_common.streams import token

LEASE_SECONDS = 15.0
RENEWALS_PER_LEASE = 3
MAX_SEEN = 10_000
"""Records of others' running searches that are remembered; those seen longest ago go first."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record and what is needed to replace it."""

    record: events_pb2.SearchRecord
    revision: int
    age_seconds: float
    lease_seconds: float = LEASE_SECONDS

    @property
    def running(self) -> bool:
        """Whether a living searcher holds it."""
        running = self.record.state.status == tree_pb2.SEARCH_STATUS_RUNNING
        return running and self.age_seconds < self.lease_seconds

    @property
    def ended(self) -> bool:
        """Whether there is a result."""
        return self.record.state.HasField("result")


class SearchRecords:
    """Records by search id."""

    def __init__(self, bucket: KeyValue, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._bucket = bucket
        self.lease_seconds = lease_seconds
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Of searches that run elsewhere: a revision, and when it was first seen."""

    async def get(self, search_id: str) -> Stored:
        """The record of a search.

        Raises:
            NotFound: there is none.
        """
        try:
            entry = await self._bucket.get(token(search_id))
        except KeyNotFoundError as error:
            raise NotFound(f"no search {search_id!r}") from error
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"search records: {error}") from error
        record = events_pb2.SearchRecord.FromString(entry.value or b"")
        renewed = record.renewed_at.ToMilliseconds() / 1000
        stored = Stored(record, entry.revision or 0, time.time() - renewed, self.lease_seconds)
        if not stored.running:
            self._seen.pop(search_id, None)
            return stored
        return replace(stored, age_seconds=max(stored.age_seconds, self._unchanged(stored)))

    def _unchanged(self, stored: Stored) -> float:
        """For how many seconds at least nobody renewed a lease."""
        now, search_id = time.monotonic(), stored.record.search_id
        revision, since = self._seen.pop(search_id, (0, now))
        if revision != stored.revision:
            since = now
        self._seen[search_id] = (stored.revision, since)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return now - since

    async def write(self, record: events_pb2.SearchRecord, *, revision: int) -> int:
        """Write a record over `revision` (0: it must not exist); returns the new revision.

        Raises:
            Conflict: somebody else wrote it.
        """
        try:
            return await self._bucket.update(
                token(record.search_id), record.SerializeToString(), last=revision
            )
        except KeyWrongLastSequenceError as error:
            raise Conflict(f"search {record.search_id} was taken by another searcher") from error
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"search records: {error}") from error


class Lease:
    """A record under RUNNING, renewed until it is settled."""

    def __init__(
        self, records: SearchRecords, record: events_pb2.SearchRecord, revision: int
    ) -> None:
        self._records = records
        self._revision = revision
        self._writing = asyncio.Lock()
        self._over = False
        self._unconfirmed: set[bytes] = set()
        """Writes that were never answered."""

        self.record = record

    async def renew(self) -> None:
        """Renew until it is settled, released or stopped.

        Raises:
            Conflict: another searcher took the search.
        """
        while not self._over:
            await asyncio.sleep(self._records.lease_seconds / RENEWALS_PER_LEASE)
            async with self._writing:
                if not self._over:
                    # While NATS is away nobody else can take the lease either.
                    with suppress(Unavailable):
                        await self._write()

    def stop(self) -> None:
        """End `renew` at its next turn, even if its cancellation is swallowed (see `Journal`)."""
        self._over = True

    async def settle(self) -> None:
        """Write the record as it now is, for the last time. Raises as `SearchRecords.write`."""
        async with self._writing:
            self._over = True
            await self._write()

    async def release(self) -> None:
        """Let another searcher take the search at once. Raises as `SearchRecords.write`."""
        async with self._writing:
            self._over = True
            self.record.ClearField("renewed_at")
            await self._write(renew=False)

    async def _write(self, *, renew: bool = True) -> None:
        try:
            revision = await self._write_over(self._revision, renew=renew)
        except Conflict:
            stored = await self._records.get(self.record.search_id)
            if _bytes(stored.record) not in self._unconfirmed:
                raise
            # Ours, stored although its reply was lost.
            revision = await self._write_over(stored.revision, renew=renew)
        self._revision = revision
        self._unconfirmed.clear()

    async def _write_over(self, revision: int, *, renew: bool) -> int:
        if renew:
            self.record.renewed_at.GetCurrentTime()
        sent = _bytes(self.record)  # others go on writing into it meanwhile
        try:
            return await self._records.write(self.record, revision=revision)
        except (Unavailable, asyncio.CancelledError):
            self._unconfirmed.add(sent)
            raise


def _bytes(record: events_pb2.SearchRecord) -> bytes:
    return record.SerializeToString(deterministic=True)
