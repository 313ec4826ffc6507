"""The gRPC face of the trainer. Protobuf messages end here."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from rstar.v1 import trainer_pb2, trainer_pb2_grpc
from rstar_common import checkpoints
from rstar_common.checkpoints import MANIFEST, Model
from rstar_common.errors import InvalidInput
from rstar_common.rpc import remaining_seconds, serving
from rstar_trainer.job import ENDED, JobRecord
from rstar_trainer.job_store import JobStore
from rstar_trainer.pages import page_of
from rstar_trainer.promotion import MODELS, Registry
from rstar_trainer.runner import JobRunner
from rstar_trainer.wire import checkpoint_to, job_to, spec_from

if TYPE_CHECKING:
    ServicerContext = grpc.aio.ServicerContext[Any, Any]

CHUNK_BYTES = 2**20
LONGEST_CALL_SECONDS = 600.0
_JOB_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
MOST_ORIGIN = 256


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Serves `rstar.v1.TrainerService`."""

    def __init__(self, jobs: JobStore, runner: JobRunner, registry: Registry) -> None:
        self._jobs = jobs
        self._runner = runner
        self._registry = registry

    async def SubmitJob(
        self, request: trainer_pb2.SubmitJobRequest, context: ServicerContext
    ) -> trainer_pb2.SubmitJobResponse:
        """Queue a job."""
        async with serving(context, "SubmitJob"):
            remaining_seconds(context, at_most=LONGEST_CALL_SECONDS)
            if not _JOB_ID.fullmatch(request.job_id):
                raise InvalidInput("must be 1 to 128 of A-Z a-z 0-9 . _ -", field="job_id")
            if len(request.origin) > MOST_ORIGIN or not request.origin.isprintable():
                raise InvalidInput(
                    f"must be one line of at most {MOST_ORIGIN} characters", field="origin"
                )
            record = JobRecord(
                job_id=request.job_id,
                spec=spec_from(request),
                promote=request.promote,
                origin=request.origin,
                created_at=time.time(),
                stage="waiting",
            )
            return trainer_pb2.SubmitJobResponse(job=job_to(await self._jobs.add(record)))
        raise AssertionError("unreachable: abort raises")

    async def GetJob(
        self, request: trainer_pb2.GetJobRequest, context: ServicerContext
    ) -> trainer_pb2.GetJobResponse:
        """A job as it is now."""
        async with serving(context, "GetJob"):
            return trainer_pb2.GetJobResponse(job=job_to(self._jobs.get(request.job_id)))
        raise AssertionError("unreachable: abort raises")

    async def ListJobs(
        self, request: trainer_pb2.ListJobsRequest, context: ServicerContext
    ) -> trainer_pb2.ListJobsResponse:
        """Jobs, newest first."""
        async with serving(context, "ListJobs"):
            page = page_of(
                self._jobs.all()[::-1],
                size=request.page_size,
                token=request.page_token,
                key=lambda record: record.job_id,
            )
            return trainer_pb2.ListJobsResponse(
                jobs=[job_to(record) for record in page.items], next_page_token=page.next_token
            )
        raise AssertionError("unreachable: abort raises")

    async def WatchJob(
        self, request: trainer_pb2.WatchJobRequest, context: ServicerContext
    ) -> AsyncIterator[trainer_pb2.WatchJobResponse]:
        """A job's state whenever it changes, until it ends."""
        async with serving(context, "WatchJob"):
            told: JobRecord | None = None
            while told is None or told.state not in ENDED:
                record = self._jobs.get(request.job_id)
                if record == told:
                    await self._jobs.next_change()
                    continue
                told = record
                yield trainer_pb2.WatchJobResponse(job=job_to(record))

    async def CancelJob(
        self, request: trainer_pb2.CancelJobRequest, context: ServicerContext
    ) -> trainer_pb2.CancelJobResponse:
        """End a job."""
        async with serving(context, "CancelJob"):
            record = await self._runner.cancel(request.job_id)
            return trainer_pb2.CancelJobResponse(job=job_to(record))
        raise AssertionError("unreachable: abort raises")

    async def ListCheckpoints(
        self, request: trainer_pb2.ListCheckpointsRequest, context: ServicerContext
    ) -> trainer_pb2.ListCheckpointsResponse:
        """Checkpoints in the store, newest first."""
        async with serving(context, "ListCheckpoints"):
            models = [_model(request.model)] if request.model else list(MODELS)
            promoted = {await self._registry.promoted_or_none(model) for model in models}
            manifests = [
                manifest for model in models for manifest in await self._registry.manifests(model)
            ]
            manifests.sort(key=lambda manifest: (-manifest.created_at, manifest.version))
            page = page_of(
                manifests,
                size=request.page_size,
                token=request.page_token,
                key=lambda manifest: manifest.version,
            )
            return trainer_pb2.ListCheckpointsResponse(
                checkpoints=[
                    checkpoint_to(manifest, promoted=manifest.version in promoted)
                    for manifest in page.items
                ],
                next_page_token=page.next_token,
            )
        raise AssertionError("unreachable: abort raises")

    async def PromoteCheckpoint(
        self, request: trainer_pb2.PromoteCheckpointRequest, context: ServicerContext
    ) -> trainer_pb2.PromoteCheckpointResponse:
        """Move the pointer."""
        async with serving(context, "PromoteCheckpoint"):
            model = _model(request.model)
            manifest = await checkpoints.read_manifest(self._registry.store, model, request.version)
            promotion = await self._registry.promote(manifest)
            return trainer_pb2.PromoteCheckpointResponse(
                checkpoint=checkpoint_to(manifest, promoted=True), previous=promotion.previous
            )
        raise AssertionError("unreachable: abort raises")

    async def DownloadCheckpoint(
        self, request: trainer_pb2.DownloadCheckpointRequest, context: ServicerContext
    ) -> AsyncIterator[trainer_pb2.DownloadCheckpointResponse]:
        """The files of a checkpoint, its manifest last."""
        async with serving(context, "DownloadCheckpoint"):
            store = self._registry.store
            manifest = await checkpoints.read_manifest(
                store, _model(request.model), request.version
            )
            for name in (*manifest.files, MANIFEST):
                yield trainer_pb2.DownloadCheckpointResponse(file=name)  # it may be empty
                async with aclosing(store.pieces(manifest.prefix + name)) as pieces:
                    async for piece in pieces:
                        for start in range(0, len(piece), CHUNK_BYTES):
                            chunk = piece[start : start + CHUNK_BYTES]
                            yield trainer_pb2.DownloadCheckpointResponse(file=name, chunk=chunk)


def _model(name: str) -> Model:
    if name not in MODELS:
        raise InvalidInput(f"must be one of {list(MODELS)}", field="model")
    return name
