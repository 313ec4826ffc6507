"""Works the queue of jobs off, one after another.

Every stage of a job may be repeated, so one found running at start was interrupted and is simply
run again. A worker that dies without a word is started again, a few times.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from itertools import product
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from rstar_common.errors import InvalidInput, RstarError, Unavailable
from rstar_trainer.attempt import Attempt, Refused, WorkerDied
from rstar_trainer.job import (
    ENDED,
    JobFailure,
    JobRecord,
    JobState,
)
from rstar_trainer.job_store import JobStore
from rstar_trainer.orders import WorkerLimits
from rstar_trainer.promotion import MODELS, Registry

logger = logging.getLogger(__name__)

MAX_DEATHS = 3
"""Workers of one job that may die without a word before the job has failed."""

RETRY_SECONDS = 3.0
"""Pause before a job goes on whose store or NATS is away."""

JOBS = Counter("rstar_trainer_jobs_total", "Jobs ended.", ["model", "state"])
JOB_SECONDS = Histogram(
    "rstar_trainer_job_seconds", "Duration of jobs.", ["model"],
    buckets=(1, 10, 60, 300, 900, 3600, 14400),
)  # fmt: skip
RUNNING = Gauge("rstar_trainer_jobs_running", "Jobs being carried out.")


class JobRunner:
    """The component that works the queue off."""

    def __init__(
        self, jobs: JobStore, registry: Registry, *, work_dir: Path, limits: WorkerLimits
    ) -> None:
        self._jobs = jobs
        self._attempt = Attempt(jobs, registry, work_dir=work_dir, limits=limits)
        self._work_dir = work_dir
        self._current: tuple[str, asyncio.Task[None]] | None = None
        for model, state in product(MODELS, ENDED):
            JOBS.labels(model, state)  # the first failure must be an increase

    async def run(self, stop: asyncio.Event) -> None:
        """Carry jobs out until `stop` is set; the one that runs is resumed next time."""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work())
            await stop.wait()
            self._jobs.close()
            work.cancel()

    async def cancel(self, job_id: str) -> JobRecord:
        """End a job. Ending one that has ended changes nothing.

        Raises:
            NotFound: there is none of that name.
        """
        record = self._jobs.get(job_id)
        if record.state in ENDED:
            return record
        # Written first: whatever happens now, the job will not run again.
        now = time.time()
        record = await self._jobs.change(
            job_id, state=JobState.CANCELLED, finished_at=now, stage="cancelled"
        )
        if record.finished_at != now:  # it ended at the same moment
            return record
        JOBS.labels(record.spec.model, record.state).inc()
        if self._current and self._current[0] == job_id:
            self._current[1].cancel()
        else:
            self._clear(record)
        return record

    async def _work(self) -> None:
        self._clear_left()
        while True:
            waiting = [record for record in self._jobs.all() if record.state not in ENDED]
            if not waiting:
                with contextlib.suppress(Unavailable):  # the service is stopping
                    await self._jobs.next_change()
                    continue
                return
            # A job that ran when the service ended comes first.
            waiting.sort(key=lambda record: record.state is not JobState.RUNNING)
            job_id = waiting[0].job_id
            task = asyncio.create_task(self._carry_out(waiting[0]))
            self._current = (job_id, task)
            try:
                await asyncio.wait({task})
            finally:
                self._current = None
                if not task.done():  # the service is ending
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            if self._jobs.get(job_id).state in ENDED:
                self._clear(self._jobs.get(job_id))

    async def _carry_out(self, record: JobRecord) -> None:
        record = await self._jobs.change(
            record.job_id,
            state=JobState.RUNNING,
            started_at=record.started_at or time.time(),
            stage="starting",
        )
        if record.state in ENDED:  # cancelled meanwhile
            return
        RUNNING.set(1)
        try:
            while True:
                try:
                    version = await self._attempt.carry_out(record)
                    break
                except Unavailable as error:
                    logger.warning("job %s waits: %s", record.job_id, error)
                    await asyncio.sleep(RETRY_SECONDS)
                except WorkerDied as error:
                    record = await self._jobs.change(record.job_id, deaths=record.deaths + 1)
                    logger.warning("worker of %s: %s", record.job_id, error)
                    if record.deaths >= MAX_DEATHS:
                        await self._fail(record, JobFailure(code="", message=str(error)))
                        return
        except Refused as refusal:
            await self._fail(record, refusal.failure)
        except RstarError as error:
            named = error.field if isinstance(error, InvalidInput) else ""
            await self._fail(
                record, JobFailure(code=type(error).__name__, message=str(error), field=named)
            )
        else:
            await self._end(
                record, state=JobState.SUCCEEDED, progress=1.0, stage="", checkpoint_version=version
            )
        finally:
            RUNNING.set(0)

    async def _fail(self, record: JobRecord, failure: JobFailure) -> None:
        logger.error("job %s failed: %s", record.job_id, failure.message)
        await self._end(record, state=JobState.FAILED, failure=failure)

    async def _end(self, record: JobRecord, **changes: object) -> None:
        now = time.time()
        record = await self._jobs.change(record.job_id, finished_at=now, **changes)
        if record.finished_at != now:  # cancelled meanwhile, and counted
            return
        JOBS.labels(record.spec.model, record.state).inc()
        JOB_SECONDS.labels(record.spec.model).observe(now - record.started_at)

    def _clear(self, record: JobRecord) -> None:
        shutil.rmtree(self._attempt.directory_of(record), ignore_errors=True)

    def _clear_left(self) -> None:
        """Remove what a trainer left that was killed between a job's end and its clearing."""
        kept = [
            self._attempt.directory_of(one) for one in self._jobs.all() if one.state not in ENDED
        ]
        for directory in (self._work_dir / "jobs").glob("*"):
            if directory not in kept:
                shutil.rmtree(directory, ignore_errors=True)
