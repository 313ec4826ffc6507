"""What a round orders of others and waits for: models served, batches searched, jobs trained.

Every order has a name that is a function of its round's, so that giving it again after a
death finds the first one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from rstar.v1 import evolution_pb2, searcher_pb2, trainer_pb2, types_pb2
from rstar_common.checkpoints import Model
from rstar_common.errors import InvalidInput, NotFound, Overloaded, RstarError, Unavailable
from rstar_trainer.evolution.rules import batch_names
from rstar_trainer.evolution.serving import manifest_of
from rstar_trainer.evolution.tiers import NOT_REFUSED, Tiers
from rstar_trainer.job import ENDED, JobRecord, JobState
from rstar_trainer.job_store import JobStore
from rstar_trainer.promotion import Registry
from rstar_trainer.wire import spec_from

POLL_SECONDS = 1.0
"""Batches and served versions have states one asks for, and no stream."""

Tell = Callable[[str, float], None]
"""Told what is done now and the share of the phase that is done."""


class JobEnded(RstarError):
    """A training job did not make a checkpoint."""


class Orders:
    """Gives orders and tells how far they are."""

    def __init__(self, tiers: Tiers, registry: Registry, jobs: JobStore, tell: Tell) -> None:
        self._tiers = tiers
        self._registry = registry
        self._jobs = jobs
        self._tell = tell

    async def serve(self, model: Model, version: str) -> None:
        """Put a version in place and wait until every replica answers with it."""
        manifest = await manifest_of(self._registry, model, version)
        while True:
            await self._registry.place(manifest)  # somebody may promote another one meanwhile
            try:
                if await self._tiers.served(model) == {version}:
                    return
            except Unavailable:
                pass
            self._tell(f"waiting for the {model} service to serve {version}", 0.0)
            await asyncio.sleep(POLL_SECONDS)

    async def searched(
        self,
        run: evolution_pb2.Run,
        what: str,
        stage: str,
        problems: Sequence[types_pb2.Problem],
        settings: types_pb2.SearchSettings,
        *,
        begins: float = 0.0,
        part: float = 1.0,
    ) -> searcher_pb2.Batch:
        """Have `problems` searched, once; it fills `part` of the phase from `begins` on.

        Raises:
            InvalidInput: the batch was refused, or somebody cancelled it.
        """
        names = batch_names(run, what)
        batch_id = names.pop(0)
        while names and await self._state(batch_id) == searcher_pb2.BATCH_STATE_CANCELLED:
            batch_id = names.pop(0)
        submission = await self._tiers.publish(batch_id, problems, settings)
        while True:
            try:
                batch = await self._tiers.batch(batch_id, submission=submission)
            except (NotFound, Unavailable):  # not taken in yet, or its searcher is away
                await asyncio.sleep(POLL_SECONDS)
                continue
            except Overloaded as error:
                self._tell(f"{stage}: refused for now: {error}", begins)
                await asyncio.sleep(error.retry_after_seconds)
                submission = await self._tiers.publish(batch_id, problems, settings)
                continue
            ended = batch.done + batch.dead
            self._tell(
                f"{stage}: {ended} of {batch.total}", begins + part * ended / max(1, batch.total)
            )
            if batch.state == searcher_pb2.BATCH_STATE_DONE:
                return batch
            if batch.state == searcher_pb2.BATCH_STATE_CANCELLED:
                raise InvalidInput("was cancelled", field=batch_id)
            await asyncio.sleep(POLL_SECONDS)

    async def is_done(self, run: evolution_pb2.Run, what: str) -> bool:
        """Whether a batch of the last round was searched already."""
        states = [await self._state(name) for name in batch_names(run, what)]
        return searcher_pb2.BATCH_STATE_DONE in states

    async def _state(self, batch_id: str) -> searcher_pb2.BatchState.ValueType:
        try:
            return (await self._tiers.batch(batch_id, submission=NOT_REFUSED)).state
        except NotFound:
            return searcher_pb2.BATCH_STATE_UNSPECIFIED

    async def job(self, request: trainer_pb2.SubmitJobRequest, stage: str) -> JobRecord:
        """Submit a training job and wait until it has made its checkpoint.

        Raises:
            JobEnded: it made none.
        """
        record = await self._jobs.add(
            JobRecord(
                job_id=request.job_id,
                spec=spec_from(request),
                origin=request.origin,
                created_at=time.time(),
                stage="waiting",
            )
        )
        while record.state not in ENDED:
            self._tell(f"{stage}: {record.stage}", record.progress)
            await self._jobs.next_change()
            record = self._jobs.get(request.job_id)
        if record.state is not JobState.SUCCEEDED:
            failure = record.failure
            why = f"job {record.job_id}: {failure.message if failure else record.state.value}"
            if failure and failure.field:
                raise InvalidInput(why, field=failure.field)
            raise JobEnded(why)
        return record
