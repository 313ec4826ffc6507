"""Training jobs and checkpoints as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rstar.v1 import trainer_pb2
from rstar_cli.output import console, one_line
from rstar_cli.views.search import enum_name


@dataclass(slots=True)
class JobProgress:
    """A bar with the job's stage and latest metrics. A context manager."""

    quiet: bool = False
    _progress: Progress | None = None
    _task: TaskID | None = None

    def __enter__(self) -> JobProgress:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[metrics]}", markup=False),
            console=console(stderr=True),
            disable=self.quiet,
        )
        self._progress.start()
        self._task = self._progress.add_task("queued", total=1.0, metrics="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress:
            self._progress.stop()

    def show(self, job: trainer_pb2.Job) -> None:
        """Draw the job as it is."""
        assert self._progress is not None
        assert self._task is not None
        self._progress.update(
            self._task,
            description=one_line(job.stage) or _state(job),
            completed=job.progress,
            metrics=_metrics(job.metrics, limit=2),
        )


def _state(job: trainer_pb2.Job) -> str:
    return enum_name(trainer_pb2.JobState.Name(job.state), "JOB_STATE_")


def _metrics(metrics: Mapping[str, float], limit: int = 4) -> str:
    return ", ".join(f"{name} {metrics[name]:.4g}" for name in sorted(metrics)[:limit])


def job_outcome(job: trainer_pb2.Job) -> str:
    """The last line of `rstar train`."""
    if job.state == trainer_pb2.JOB_STATE_SUCCEEDED:
        return f"{job.checkpoint_version}: {_metrics(job.metrics, limit=12)}"
    return f"job {job.job_id} {_state(job)}: {one_line(job.failure.message, 400)}"


def jobs_table(jobs: Iterable[trainer_pb2.Job]) -> Table:
    """`rstar jobs`."""
    table = Table(box=None, pad_edge=False)
    for name in ("job", "model", "state", "%"):
        table.add_column(name, no_wrap=True)
    table.add_column("stage", overflow="fold")
    table.add_column("checkpoint", overflow="fold")
    for job in jobs:
        table.add_row(
            Text(one_line(job.job_id, 64)),
            job.model,
            _state(job),
            f"{100 * job.progress:.0f}",
            Text(one_line(job.failure.message or job.stage, 80)),
            job.checkpoint_version,
        )
    return table


def checkpoints_table(checkpoints: Iterable[trainer_pb2.Checkpoint]) -> Table:
    """`rstar checkpoints`."""
    table = Table(box=None, pad_edge=False)
    for name in ("version", "served", "created"):
        table.add_column(name, no_wrap=True)
    table.add_column("from", overflow="fold")
    table.add_column("metrics", overflow="fold")
    for checkpoint in checkpoints:
        table.add_row(
            Text(one_line(checkpoint.version, 64)),
            Text("yes" if checkpoint.promoted else "", style="green"),
            checkpoint.created_at.ToJsonString()[:16],
            Text(one_line(", ".join(checkpoint.parents), 48)),
            Text(_metrics(checkpoint.metrics)),
        )
    return table
