"""One attempt at a job: fetch, train in a child process, publish, promote.

Every stage may be repeated: trees that are there are not fetched again, the worker goes on
from its saved state, publishing and promoting twice change nothing.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from prometheus_client import Gauge
from pydantic import ValidationError

from rstar_common import checkpoints
from rstar_common.artifacts import dataset_key
from rstar_common.checkpoints import MANIFEST, Manifest
from rstar_common.streams import token
from rstar_trainer.child import run_worker
from rstar_trainer.job import (
    CHECKPOINT,
    GIVEN,
    ORDER_FILE,
    STATE_FILE,
    TREES,
    JobFailure,
    JobRecord,
    WorkerEvent,
    WorkOrder,
)
from rstar_trainer.job_store import JobStore
from rstar_trainer.lessons import LESSONS
from rstar_trainer.orders import WorkerLimits, work_order
from rstar_trainer.promotion import Registry
from rstar_trainer.tree_store import fetch_given, fetch_trees, read_questions

logger = logging.getLogger(__name__)

LOSS = Gauge("rstar_trainer_loss", "Latest loss of the running job.", ["model"])
SPEED = Gauge("rstar_trainer_tokens_per_second", "Latest speed of the running job.", ["model"])


class WorkerDied(Exception):
    """The worker ended without saying why."""


class Refused(Exception):
    """The worker cannot do what the order says."""

    def __init__(self, failure: JobFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Attempt:
    """Carries one job at a time out."""

    def __init__(
        self, jobs: JobStore, registry: Registry, *, work_dir: Path, limits: WorkerLimits
    ) -> None:
        self._jobs = jobs
        self._registry = registry
        self._work_dir = work_dir
        self._limits = limits

    async def carry_out(self, record: JobRecord) -> str:
        """Carry a job out to the end; returns the version it published.

        Raises:
            WorkerDied: its worker ended without a word.
            Refused: its worker cannot do what it asks for.
            RstarError: what it needs is not there, or the store is away.
        """
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
            key = dataset_key(manifest.version, file.name)
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
            raise WorkerDied(f"the worker ended with status {end.status}")
        if end.event.failure is not None:
            raise Refused(end.event.failure)

    def directory_of(self, record: JobRecord) -> Path:
        """Where a job's files lie."""
        return self._work_dir / "jobs" / token(record.job_id)


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
