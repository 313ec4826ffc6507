"""Carries jobs out, one after another: fetch, train in a child process, publish, promote.

Every stage may be repeated: trees that are there are not fetched again, the worker goes on
from its saved state, publishing and promoting twice change nothing. So a job found running
at start was interrupted and is simply run again. A worker that dies without a word is
started again, a few times.
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
from pydantic import ValidationError

from rstar_common import checkpoints
from rstar_common.artifacts import DATASETS
from rstar_common.checkpoints import MANIFEST, Manifest
from rstar_common.errors import InvalidInput, RstarError, Unavailable
from rstar_common.streams import token
from rstar_trainer.child import run_worker
from rstar_trainer.job import (
    CHECKPOINT,
    ENDED,
    GIVEN,
    ORDER_FILE,
    STATE_FILE,
    TREES,
    JobFailure,
    JobRecord,
    JobState,
    WorkerEvent,
    WorkOrder,
)
from rstar_trainer.job_store import JobStore
from rstar_trainer.lessons import LESSONS
from rstar_trainer.orders import WorkerLimits, work_order
from rstar_trainer.promotion import MODELS, Registry
from rstar_trainer.tree_store import fetch_given, fetch_trees, read_questions

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
LOSS = Gauge("rstar_trainer_loss", "Latest loss of the running job.", ["model"])
SPEED = Gauge("rstar_trainer_tokens_per_second", "Latest speed of the running job.", ["model"])


class _WorkerDied(Exception):
    """The worker ended without saying why."""


class _Refused(Exception):
    """The worker cannot do what the order says."""

    def __init__(self, failure: JobFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class JobRunner:
    """The component that works the queue off."""

    def __init__(
        self, jobs: JobStore, registry: Registry, *, work_dir: Path, limits: WorkerLimits
    ) -> None:
        self._jobs = jobs
        self._registry = registry
        self._work_dir = work_dir
        self._limits = limits
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
                    version = await self._attempt(record)
                    break
                except Unavailable as error:
                    logger.warning("job %s waits: %s", record.job_id, error)
                    await asyncio.sleep(RETRY_SECONDS)
                except _WorkerDied as error:
                    record = await self._jobs.change(record.job_id, deaths=record.deaths + 1)
                    logger.warning("worker of %s: %s", record.job_id, error)
                    if record.deaths >= MAX_DEATHS:
                        await self._fail(record, JobFailure(code="", message=str(error)))
                        return
        except _Refused as refusal:
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

    async def _attempt(self, record: JobRecord) -> str:
        """Carry a job out to the end; returns the version it published."""
        directory = self.directory_of(record)
        for name in (TREES, GIVEN):
            (directory / name).mkdir(parents=True, exist_ok=True)
        finished = directory / CHECKPOINT / MANIFEST
        if not finished.exists():
            self._jobs.note(record.job_id, stage="fetching what it learns from")
            begun = _begun(directory)
            if begun is None:  # a batch may grow: what was begun with is gone on with
                await fetch_trees(self._registry.store, record.spec.batch_ids, directory / TREES)
                await fetch_given(self._registry.store, record.spec.data_digests, directory / GIVEN)
            apart = await read_questions(self._registry.store, record.spec.evaluation_keys)
            bases = self._work_dir / "bases"
            order = await work_order(
                record.spec, self._registry, bases=bases, limits=self._limits, begun=begun
            )
            _keep_only(bases, order.base)
            order = order.model_copy(update={"origin": record.origin, "questions_apart": apart})
            staging = directory / f"{ORDER_FILE}.new"
            staging.write_text(order.model_dump_json())
            staging.replace(directory / ORDER_FILE)
            await self._train(record, directory)
        manifest = Manifest.from_json(finished.read_bytes())
        self._jobs.note(record.job_id, stage="publishing", metrics=dict(manifest.metrics))
        await checkpoints.publish(self._registry.store, directory / CHECKPOINT, manifest)
        for file in sorted((directory / LESSONS).glob("*")):
            key = f"{DATASETS}{manifest.version}/{file.name}"
            await self._registry.store.put_file(key, file)
        if record.promote:
            await self._registry.promote(manifest)
        return manifest.version

    async def _train(self, record: JobRecord, directory: Path) -> None:
        model = record.spec.model

        def on_progress(event: WorkerEvent) -> None:
            self._jobs.note(
                record.job_id,
                progress=event.progress,
                stage=event.stage,
                metrics=dict(event.metrics),
            )
            if "loss" in event.metrics:
                LOSS.labels(model).set(event.metrics["loss"])
                SPEED.labels(model).set(event.metrics["tokens_per_second"])

        end = await run_worker(
            directory,
            threads=self._limits.threads,
            processes=self._limits.processes,
            on_progress=on_progress,
        )
        if end.event is None:
            raise _WorkerDied(f"the worker ended with status {end.status}")
        if end.event.failure is not None:
            raise _Refused(end.event.failure)

    def directory_of(self, record: JobRecord) -> Path:
        """Where a job's files lie."""
        return self._work_dir / "jobs" / token(record.job_id)

    def _clear(self, record: JobRecord) -> None:
        shutil.rmtree(self.directory_of(record), ignore_errors=True)

    def _clear_left(self) -> None:
        """Remove what a trainer left that was killed between a job's end and its clearing."""
        kept = [self.directory_of(one) for one in self._jobs.all() if one.state not in ENDED]
        for directory in (self._work_dir / "jobs").glob("*"):
            if directory not in kept:
                shutil.rmtree(directory, ignore_errors=True)


def _begun(directory: Path) -> WorkOrder | None:
    """The order that a killed trainer began to carry out, and whose state is gone on with."""
    try:
        return WorkOrder.model_validate_json((directory / ORDER_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        logger.warning("an order of another release is begun anew: %s", error)
        (directory / STATE_FILE).unlink(missing_ok=True)
        return None


def _keep_only(bases: Path, base: str) -> None:
    """Remove the checkpoints that earlier jobs started from."""
    for directory in bases.glob("*"):
        if str(directory) != base:
            shutil.rmtree(directory, ignore_errors=True)
