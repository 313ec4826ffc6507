"""A training job: its record, what its worker is told, and what that says. No I/O, no torch."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from rstar_trainer.spec import Frozen, Spec


class JobState(StrEnum):
    """The life of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


STATE_SECONDS = 20.0
"""How often the state of a training is saved, unless told otherwise."""


class JobFailure(Frozen):
    """Why a job failed."""

    code: str
    """Name of the class in `rstar_common.errors`, or empty for a bug."""

    message: str
    field: str = ""


class JobRecord(Frozen):
    """A job and how far it is, as stored."""

    job_id: str
    spec: Spec
    promote: bool = False
    origin: str = ""
    """What ordered it, for people."""

    state: JobState = JobState.QUEUED
    progress: float = 0.0
    stage: str = ""
    checkpoint_version: str = ""
    failure: JobFailure | None = None
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    metrics: dict[str, float] = Field(default_factory=dict)
    deaths: int = 0
    """Workers that ended without a word."""

    def same_request(self, other: JobRecord) -> bool:
        """Whether both ask for the same; a release ago nobody named evaluation sets."""
        ours, theirs = self.spec, other.spec
        if not (ours.evaluation_keys and theirs.evaluation_keys):
            ours, theirs = (
                one.model_copy(update={"evaluation_keys": ()}) for one in (ours, theirs)
            )
        return ours == theirs and self.promote == other.promote

    def to_json(self) -> bytes:
        """As stored; earlier releases do not know these fields, or that a filter may be neither."""
        fields = ("data_digests", "evaluation_keys", "agreement_filter")
        unset = {name for name in fields if getattr(self.spec, name) in ((), None)}
        later = ("min_edit_distance", "raw_rewards")
        unset |= {name for name in later if not getattr(self.spec, name, None)}
        return self.model_dump_json(exclude={"spec": unset}).encode()

    def changed(self, **changes: object) -> JobRecord:
        """A copy with some fields replaced."""
        return self.model_copy(update=changes)


class WorkOrder(Frozen):
    """What a worker process is told, as `order.json` in its directory."""

    spec: Spec
    base: str = ""
    """Directory of the checkpoint to start from; empty for random weights."""

    parents: tuple[str, ...] = ()
    """Versions the new checkpoint is made from."""

    agreement_filter: bool = False
    origin: str = ""
    threads: int = 1
    processes: int = 1
    """That train together; on a machine with GPUs at most one for each."""

    questions_apart: tuple[str, ...] = ()
    """Which no variant may ask."""

    state_seconds: float = STATE_SECONDS
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class WorkerEvent(Frozen):
    """One line that a worker writes."""

    event: Literal["progress", "done", "failed"]
    progress: float = 0.0
    stage: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    failure: JobFailure | None = None


ORDER_FILE = "order.json"
TREES = "trees"
GIVEN = "given"
CHECKPOINT = "checkpoint"
STATE_FILE = "state.pt"
"""Names in a job's directory."""
