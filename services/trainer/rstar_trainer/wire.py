"""Between the messages of `rstar.v1.TrainerService` and our own values. Pure."""

from __future__ import annotations

import re
from typing import TypeVar

from google.protobuf.message import Message
from pydantic import BaseModel, ValidationError

from rstar.v1 import trainer_pb2, types_pb2
from rstar_common import errors
from rstar_common.checkpoints import Manifest
from rstar_common.errors import InvalidInput
from rstar_common.formats import FORMATS
from rstar_common.rpc import STATUS_BY_ERROR
from rstar_trainer.job import JobRecord, JobState
from rstar_trainer.spec import (
    POLICY_TRAINING,
    PPM_TRAINING,
    Choice,
    Objective,
    OptimizerKind,
    PolicySpec,
    PpmSpec,
    Shape,
    Training,
)

SpecT = TypeVar("SpecT", bound=BaseModel)

SHA256 = re.compile("[0-9a-f]{64}")
MOST_FILES = 64
"""That a job learns from, beside its batches."""

_STATES = {
    JobState.QUEUED: trainer_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: trainer_pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: trainer_pb2.JOB_STATE_SUCCEEDED,
    JobState.FAILED: trainer_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: trainer_pb2.JOB_STATE_CANCELLED,
}

_OBJECTIVES = {
    trainer_pb2.PPM_OBJECTIVE_UNSPECIFIED: Objective.PAIRWISE,
    trainer_pb2.PPM_OBJECTIVE_PAIRWISE: Objective.PAIRWISE,
    trainer_pb2.PPM_OBJECTIVE_Q_REGRESSION: Objective.Q_REGRESSION,
    trainer_pb2.PPM_OBJECTIVE_OUTCOME: Objective.OUTCOME,
}

_OPTIMIZERS = {
    trainer_pb2.OPTIMIZER_UNSPECIFIED: OptimizerKind.ADAMW,
    trainer_pb2.OPTIMIZER_ADAMW: OptimizerKind.ADAMW,
    trainer_pb2.OPTIMIZER_MUON: OptimizerKind.MUON,
}

_CHOICES = {
    trainer_pb2.SFT_CHOICE_UNSPECIFIED: Choice.BEST_Q,
    trainer_pb2.SFT_CHOICE_BEST_Q: Choice.BEST_Q,
    trainer_pb2.SFT_CHOICE_RANDOM: Choice.RANDOM,
}


def spec_from(request: trainer_pb2.SubmitJobRequest) -> PolicySpec | PpmSpec:
    """The job asked for, with every default filled in.

    Raises:
        InvalidInput: naming the field at fault.
    """
    if request.HasField("train_policy"):
        return _policy_spec(request.train_policy)
    if request.HasField("train_ppm"):
        return _ppm_spec(request.train_ppm)
    raise InvalidInput("is missing", field="job")


def _policy_spec(job: trainer_pb2.TrainPolicyJob) -> PolicySpec:
    if job.prompt_format and job.prompt_format not in FORMATS:
        raise InvalidInput(f"must be one of {sorted(FORMATS)}", field="train_policy.prompt_format")
    if job.choice not in _CHOICES:
        raise InvalidInput(f"unknown value {job.choice}", field="train_policy.choice")
    shape = _checked(Shape, _set_fields(job.shape), "train_policy.shape")
    if shape.hidden_size % shape.heads or shape.heads % shape.key_value_heads:
        raise InvalidInput(
            "must divide hidden_size, and key_value_heads must divide it",
            field="train_policy.shape.heads",
        )
    fields = _set_fields(job) | {
        **_sources(job, "train_policy"),
        "shape": shape,
        "training": _training(job.training, POLICY_TRAINING, "train_policy"),
        "choice": _CHOICES[job.choice],
    }
    spec = _checked(PolicySpec, fields, "train_policy")
    if spec.training.lora_rank and not spec.base:
        raise InvalidInput(
            "adapters need weights to start from: name a base",
            field="train_policy.training.lora_rank",
        )
    return spec


def _ppm_spec(job: trainer_pb2.TrainPpmJob) -> PpmSpec:
    if job.objective not in _OBJECTIVES:
        raise InvalidInput(f"unknown value {job.objective}", field="train_ppm.objective")
    fields = _set_fields(job) | {
        **_sources(job, "train_ppm"),
        "training": _training(job.training, PPM_TRAINING, "train_ppm"),
        "objective": _OBJECTIVES[job.objective],
    }
    spec = _checked(PpmSpec, fields, "train_ppm")
    if spec.raw_rewards and spec.objective is Objective.Q_REGRESSION:
        raise InvalidInput("a Q lies between -1 and 1, as tanh does", field="train_ppm.raw_rewards")
    if spec.min_edit_distance and spec.objective is not Objective.PAIRWISE:
        raise InvalidInput(
            "only the pairwise objective compares steps", field="train_ppm.min_edit_distance"
        )
    if spec.data_digests and spec.objective is not Objective.PAIRWISE:
        raise InvalidInput(
            "only the pairwise objective learns pairs", field="train_ppm.data_digests"
        )
    return spec


def _sources(
    job: trainer_pb2.TrainPolicyJob | trainer_pb2.TrainPpmJob, where: str
) -> dict[str, tuple[str, ...]]:
    """What a job learns from: batches, files or both; and what it may not."""
    digests = tuple(job.data_digests)
    if not job.batch_ids and not digests:
        raise InvalidInput("is empty, and no file is given", field=f"{where}.batch_ids")
    for index, digest in enumerate(digests):
        here = f"{where}.data_digests[{index}]"
        if not SHA256.fullmatch(digest):
            raise InvalidInput("must be 64 hexadecimal digits", field=here)
        if digest in digests[:index] or index >= MOST_FILES:
            raise InvalidInput(f"is given twice, or beyond {MOST_FILES}", field=here)
    return {
        "batch_ids": tuple(job.batch_ids),
        "data_digests": digests,
        "evaluation_keys": tuple(job.evaluation_keys),
    }


def _training(settings: trainer_pb2.TrainingSettings, defaults: Training, job: str) -> Training:
    if settings.optimizer not in _OPTIMIZERS:
        raise InvalidInput(f"unknown value {settings.optimizer}", field=f"{job}.training.optimizer")
    fields = _set_fields(settings) | {"optimizer": _OPTIMIZERS[settings.optimizer]}
    return _checked(Training, defaults.model_dump() | fields, f"{job}.training")


def _set_fields(message: Message) -> dict[str, object]:
    """Scalar fields that are not at their zero value, which means the default."""
    return {
        descriptor.name: value
        for descriptor, value in message.ListFields()
        if descriptor.message_type is None and not isinstance(value, (list, tuple))
    }


def _checked(model: type[SpecT], fields: dict[str, object], where: str) -> SpecT:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        [first, *_] = error.errors(include_input=False)
        path = ".".join(str(part) for part in (where, *first["loc"]))
        raise InvalidInput(first["msg"], field=path) from error


def job_to(record: JobRecord) -> trainer_pb2.Job:
    """A job as the wire tells it."""
    job = trainer_pb2.Job(
        job_id=record.job_id,
        state=_STATES[record.state],
        progress=record.progress,
        stage=record.stage,
        checkpoint_version=record.checkpoint_version,
        metrics=record.metrics,
        model=record.spec.model,
    )
    for stamp, seconds in (
        (job.created_at, record.created_at),
        (job.started_at, record.started_at),
        (job.finished_at, record.finished_at),
    ):
        if seconds:
            stamp.FromMilliseconds(int(seconds * 1000))
    if record.failure is not None:
        job.failure.code = _failure_code(record.failure.code)
        job.failure.message = record.failure.message
        job.failure.field = record.failure.field
        job.failure.service = "trainer"
    return job


def _failure_code(name: str) -> types_pb2.FailureCode.ValueType:
    cls = getattr(errors, name, None) if name else None
    if cls in STATUS_BY_ERROR:
        return STATUS_BY_ERROR[cls][1]
    return types_pb2.FAILURE_CODE_INTERNAL


def checkpoint_to(manifest: Manifest, *, promoted: bool) -> trainer_pb2.Checkpoint:
    """A checkpoint as the wire tells it."""
    checkpoint = trainer_pb2.Checkpoint(
        model=manifest.model,
        version=manifest.version,
        prefix=manifest.prefix,
        parents=manifest.parents,
        metrics=manifest.metrics,
        files=manifest.files,
        promoted=promoted,
        batch_ids=manifest.batch_ids,
    )
    checkpoint.created_at.FromMilliseconds(int(manifest.created_at * 1000))
    return checkpoint
