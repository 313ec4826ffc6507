"""Job records: changes one after another, and an end that is final."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from nats.js import JetStreamContext
from nats.js.kv import KeyValue

from rstar_trainer.job import JobRecord, JobState
from rstar_trainer.job_store import JobStore
from rstar_trainer.spec import PolicySpec


class Bucket:
    """A bucket whose writes end when they are let."""

    def __init__(self) -> None:
        self.written: list[JobRecord] = []
        self.may_write = asyncio.Event()

    async def put(self, _: str, value: bytes) -> None:
        await self.may_write.wait()
        self.written.append(JobRecord.model_validate_json(value))


async def test_a_job_that_is_cancelled_while_it_starts_stays_cancelled():
    bucket = Bucket()
    jobs = JobStore(
        cast("JetStreamContext", cast("Any", None)), cast("KeyValue", cast("Any", bucket))
    )
    bucket.may_write.set()
    await jobs.add(JobRecord(job_id="a", spec=PolicySpec(batch_ids=("b",)), created_at=1.0))
    bucket.may_write.clear()
    cancelled = asyncio.create_task(jobs.change("a", state=JobState.CANCELLED))
    await asyncio.sleep(0)
    started = asyncio.create_task(jobs.change("a", state=JobState.RUNNING))
    await asyncio.sleep(0)
    bucket.may_write.set()
    assert (await cancelled).state is JobState.CANCELLED
    assert (await started).state is JobState.CANCELLED
    assert [record.state for record in bucket.written] == [JobState.QUEUED, JobState.CANCELLED]
    assert jobs.get("a").state is JobState.CANCELLED
