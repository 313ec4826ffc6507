"""Job records in a JetStream bucket: what survives the service.

One trainer owns the bucket, so records are read at start and kept in memory; every change
is written before it is told to anyone, save progress, which may be lost.
"""

from __future__ import annotations

import asyncio
import logging

import nats.errors
from nats.js import JetStreamContext
from nats.js.errors import APIError, KeyNotFoundError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from rstar_common.errors import Conflict, NotFound, Unavailable
from rstar_common.streams import JOB_RECORDS, bucket_keys, token
from rstar_trainer.job import ENDED, JobRecord

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Pause before a record that NATS did not take is written again."""


class JobStore:
    """All jobs, oldest first."""

    def __init__(self, jetstream: JetStreamContext, bucket: KeyValue) -> None:
        self._jetstream = jetstream
        self._bucket = bucket
        self._records: dict[str, JobRecord] = {}
        self._changing = asyncio.Lock()
        """Changes are written one after another, in the order in which they are remembered."""

        self._changed = asyncio.Event()
        self._closed = False

    async def load(self) -> None:
        """Read every record.

        Raises:
            Unavailable: NATS did not answer.
        """
        try:
            found = []
            for key in await bucket_keys(self._jetstream, JOB_RECORDS):
                try:
                    entry = await self._bucket.get(key)
                except KeyNotFoundError:
                    continue
                try:
                    found.append(JobRecord.model_validate_json(entry.value or b""))
                except ValidationError:
                    logger.exception("job record %s cannot be read; it is left alone", key)
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"job records: {error}") from error
        found.sort(key=lambda record: (record.created_at, record.job_id))
        self._records = {record.job_id: record for record in found}

    def get(self, job_id: str) -> JobRecord:
        """A job.

        Raises:
            NotFound: there is none of that name.
        """
        if job_id not in self._records:
            raise NotFound(f"no job {job_id}")
        return self._records[job_id]

    def all(self) -> list[JobRecord]:
        """Every job, oldest first."""
        return list(self._records.values())

    async def add(self, record: JobRecord) -> JobRecord:
        """Add a job, or return the one that asked for the same under this name.

        Raises:
            Conflict: the name is taken by another job.
            Unavailable: NATS did not take it.
        """
        known = self._records.get(record.job_id)
        if known is None:
            # Taken at once, so that a second call at the same time finds it.
            self._records[record.job_id] = record
            try:
                await self._write(record)
            except BaseException:
                del self._records[record.job_id]
                raise
            self._tell()
            return record
        if not known.same_request(record):
            raise Conflict(f"job {record.job_id} is taken by another job")
        return known

    async def change(self, job_id: str, **changes: object) -> JobRecord:
        """Write a change of state; waits as long as NATS is away.

        A job that has ended is returned as it is: whoever ended it came first.
        """
        async with self._changing:
            record = self.get(job_id)
            if record.state in ENDED:
                return record
            record = record.changed(**changes)
            while True:
                try:
                    await self._write(record)
                    break
                except Unavailable as error:
                    logger.warning("%s", error)
                    # The client reconnects by itself; there is no event to wait on.
                    await asyncio.sleep(RETRY_SECONDS)
            self._records[job_id] = record
            self._tell()
            return record

    def note(self, job_id: str, **changes: object) -> None:
        """Change what is told of progress, in memory alone."""
        self._records[job_id] = self.get(job_id).changed(**changes)
        self._tell()

    async def next_change(self) -> None:
        """Return after any job changed.

        Raises:
            Unavailable: the service is stopping.
        """
        if not self._closed:
            await self._changed.wait()
        if self._closed:
            raise Unavailable("the trainer is stopping")

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _write(self, record: JobRecord) -> None:
        try:
            await self._bucket.put(token(record.job_id), record.to_json())
        except (nats.errors.Error, APIError) as error:
            raise Unavailable(f"job record {record.job_id}: {error}") from error
