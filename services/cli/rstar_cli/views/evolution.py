"""A run of self-evolution as people see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from rstar.v1 import evolution_pb2
from rstar_cli.output import console, one_line
from rstar_cli.runpage.cells import title
from rstar_cli.views.search import enum_name

ROUND_COLUMNS = (
    "round",
    "phase",
    "problems",
    "solved",
    "policy",
    "ppm",
    "evaluations",
    "decision",
)
PLAN_COLUMNS = (
    "round",
    "problems",
    "rollouts ≤",
    "programs ≤",
    "evaluated",
    "programs ≤",
    "generated",
    "search",
    "trained on",
    "train",
    "evaluate",
)


@dataclass(slots=True)
class RunProgress:
    """A bar with the run's stage and the time it may still take. A context manager."""

    quiet: bool = False
    _progress: Progress | None = None
    _task: TaskID | None = None

    def __enter__(self) -> RunProgress:
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=console(stderr=True),
            disable=self.quiet,
        )
        self._progress.start()
        self._task = self._progress.add_task("waiting", total=1.0, left="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress:
            self._progress.stop()

    def show(self, run: evolution_pb2.Run) -> None:
        """Draw the run as it is."""
        assert self._progress is not None
        assert self._task is not None
        self._progress.update(
            self._task,
            description=one_line(run.stage),
            completed=run.progress,
            left=f"about {duration(run.seconds_left)} left" if run.seconds_left else "",
        )


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `12 min`, `3 h 05`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02}"


def state_of(run: evolution_pb2.Run) -> str:
    """`running`, `succeeded`, `failed` or `cancelled`."""
    return enum_name(evolution_pb2.RunState.Name(run.state), "RUN_STATE_")


def runs_table(runs: Sequence[evolution_pb2.Run]) -> Table:
    """`rstar evolve list`."""
    table = Table(box=None, pad_edge=False)
    for name in ("run", "state", "%", "left", "stage"):
        table.add_column(name, no_wrap=name != "stage")
    for run in runs:
        table.add_row(
            one_line(run.run_id),
            state_of(run),
            f"{100 * run.progress:.0f}",
            duration(run.seconds_left) if run.seconds_left else "",
            one_line(run.failure.message or run.stage, 80),
        )
    return table


def rounds_table(run: evolution_pb2.Run) -> Table:
    """What each round of a run gave."""
    table = Table(box=None, pad_edge=False)
    for name in ROUND_COLUMNS:
        table.add_column(name, overflow="fold")
    for report in run.rounds:
        measured = ", ".join(f"{one.name} {one.accuracy:.3f}" for one in report.evaluations)
        searched = report.problems and report.phase > evolution_pb2.ROUND_PHASE_SEARCHING
        solved = f"{report.solved / report.problems:.1%}" if searched else ""
        table.add_row(
            title(report),
            enum_name(evolution_pb2.RoundPhase.Name(report.phase), "ROUND_PHASE_"),
            str(report.problems),
            solved,
            report.policy_version,
            report.ppm_version,
            measured,
            report.decision,
        )
    return table


def millions(*plan: evolution_pb2.PlannedRound) -> str:
    """Tokens that rounds may generate: `2.4 M`."""
    return f"{sum(one.search_tokens + one.evaluation_tokens for one in plan) / 1e6:,.1f} M"


def plan_table(plan: Sequence[evolution_pb2.PlannedRound]) -> Table:
    """`rstar evolve --dry-run`."""
    table = Table(box=None, pad_edge=False)
    for name in PLAN_COLUMNS:
        table.add_column(name, justify="right")
    for one in plan:
        table.add_row(
            str(one.round),
            f"{one.problems:,}",
            f"{one.rollouts:,}",
            f"{one.sandbox_runs:,}",
            f"{one.evaluation_problems:,}",
            f"{one.evaluation_sandbox_runs:,}",
            millions(one),
            duration(one.search_seconds),
            f"{one.training_tokens / 1e6:,.1f} M",
            duration(one.training_seconds),
            duration(one.evaluation_seconds),
        )
    total = sum(o.search_seconds + o.training_seconds + o.evaluation_seconds for o in plan)
    learned = sum(one.training_tokens for one in plan)
    table.add_row(
        "all",
        "",
        "",
        "",
        "",
        "",
        millions(*plan),
        "",
        f"{learned / 1e6:,.1f} M",
        "",
        duration(total),
    )
    return table
