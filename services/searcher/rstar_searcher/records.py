"""What is remembered of searches outside their trees, in a JetStream bucket.

A record under RUNNING is a lease: its searcher renews it, and a record that was not
renewed for `LEASE_SECONDS` belongs to a searcher that died. Writing needs the revision
that was read, so of two searchers that want a search one wins.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import nats.errors
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from rstar.v1 import events_pb2, tree_pb2
from rstar_common.errors import Conflict, NotFound, Unavailable
from rstar_common.streams import token

LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A record and what is needed to replace it."""

    record: events_pb2.SearchRecord
    revision: int
    age_seconds: float

    @property
    def running(self) -> bool:
        """Whether a living searcher holds it."""
        running = self.record.state.status == tree_pb2.SEARCH_STATUS_RUNNING
        return running and self.age_seconds < LEASE_SECONDS

    @property
    def ended(self) -> bool:
        """Whether there is a result."""
        return self.record.state.HasField("result")


class SearchRecords:
    """Records by search id."""

    def __init__(self, bucket: KeyValue) -> None:
        self._bucket = bucket

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
        return Stored(record, entry.revision or 0, max(0.0, time.time() - renewed))

    async def write(self, record: events_pb2.SearchRecord, *, revision: int) -> int:
        """Write a record over `revision` (0: it must not exist); returns the new revision.

        Raises:
            Conflict: somebody else wrote it.
        """
        record.renewed_at.GetCurrentTime()
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
        self.record = record

    async def renew(self) -> None:
        """Renew for ever.

        Raises:
            Conflict: another searcher took the search.
        """
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                self._revision = await self._records.write(self.record, revision=self._revision)
            except Unavailable:
                continue  # NATS is away: nobody else can take the lease meanwhile

    async def settle(self) -> None:
        """Write the record as it now is, for the last time. Raises as `write`."""
        self._revision = await self._records.write(self.record, revision=self._revision)
