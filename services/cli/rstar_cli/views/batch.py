"""A batch as people see it: a progress bar, lists, and a graded table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from rstar.v1 import searcher_pb2, types_pb2
from rstar_cli.grading import EQUAL, NO_ANSWER, UNEQUAL, Grade
from rstar_cli.output import console, one_line
from rstar_cli.views.search import enum_name

if TYPE_CHECKING:
    from rstar_cli.campaign import Campaign

_VERDICT_STYLES = {EQUAL: "green", UNEQUAL: "red", NO_ANSWER: "red"}


@dataclass(slots=True)
class Rate:
    """Problems a second since the first look; knows nothing before the second one."""

    _first: tuple[float, int] | None = None
    _last: tuple[float, int] = (0.0, 0)

    def note(self, now: float, done: int) -> None:
        """`done` problems had ended at `now`."""
        self._first = self._first or (now, done)
        self._last = (now, done)

    @property
    def per_second(self) -> float | None:
        """None while nothing has ended since the first look."""
        if not self._first or self._last[1] <= self._first[1]:
            return None
        return (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])

    def seconds_left(self, remaining: int) -> float | None:
        """How long `remaining` problems take at this rate."""
        return remaining / self.per_second if self.per_second else None


@dataclass(slots=True)
class BatchProgress:
    """A progress bar with rate and time left. A context manager; `quiet` shows nothing."""

    quiet: bool = False
    _rate: Rate = field(default_factory=Rate)
    _progress: Progress | None = None
    _task: TaskID | None = None

    def __enter__(self) -> BatchProgress:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console(stderr=True),
            disable=self.quiet,
        )
        self._progress.start()
        self._task = self._progress.add_task("waiting for the intake", total=None, rate="", left="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress:
            self._progress.stop()
            if not (self.quiet or self._progress.console.is_terminal):
                self._progress.console.line()  # rich leaves the last line open there

    def show(self, batch: searcher_pb2.Batch, now: float) -> None:
        """Draw the batch as it is at `now` of a monotonic clock."""
        ended = batch.done + batch.dead
        self._rate.note(now, ended)
        left = self._rate.seconds_left(batch.total - ended)
        per_second = self._rate.per_second
        state = enum_name(searcher_pb2.BatchState.Name(batch.state), "BATCH_STATE_")
        dead = f", {batch.dead} dead" if batch.dead else ""
        assert self._progress is not None
        assert self._task is not None
        self._progress.update(
            self._task,
            description=f"{one_line(batch.batch_id, 40)}: {state}{dead}",
            completed=ended,
            total=batch.total or None,
            rate=f"{per_second * 60:.1f}/min" if per_second else "",
            left=f"{duration(left)} left" if left else "",
        )


def duration(seconds: float) -> str:
    """`75` is `1:15`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def batches_table(batches: Iterable[searcher_pb2.Batch]) -> Table:
    """`rstar batches`."""
    table = Table("batch", "state", "total", "done", "dead", "created", box=None, pad_edge=False)
    for batch in batches:
        table.add_row(
            Text(one_line(batch.batch_id, 80)),
            enum_name(searcher_pb2.BatchState.Name(batch.state), "BATCH_STATE_"),
            str(batch.total),
            str(batch.done),
            str(batch.dead),
            batch.created_at.ToJsonString()[:19],
        )
    return table


def results_table(
    results: Sequence[searcher_pb2.BatchResult], grades: Mapping[str, Grade]
) -> Table:
    """Problem, answer, reference, verdict, rollouts, seconds."""
    table = Table(title=None, expand=True, header_style="bold", box=None, pad_edge=False)
    table.add_column("problem", ratio=5)
    for name in ("answer", "reference"):
        table.add_column(name, ratio=2, overflow="fold")
    table.add_column("verdict", min_width=9)
    for name in ("rollouts", "seconds"):
        table.add_column(name, justify="right", min_width=len(name))
    for item in results:
        grade = grades.get(item.problem_id, Grade(verdict="", reference=""))
        cost = item.result.cost
        table.add_row(
            Text(one_line(item.question or item.problem_id, 120)),
            Text(one_line(item.result.answer, 48)),
            Text(one_line(grade.reference, 48)),
            Text(grade.verdict, style=_VERDICT_STYLES.get(grade.verdict, "yellow")),
            str(cost.rollouts),
            f"{cost.wall_seconds:.1f}",
        )
    return table


def grade_totals(grades: Mapping[str, Grade]) -> str:
    """`19 of 24 solved (79.2 %), 1 undecided`."""
    counts = Counter(grade.verdict for grade in grades.values())
    share = f" ({100 * counts[EQUAL] / len(grades):.1f} %)" if grades else ""
    rest = [f"{count} {name}" for name, count in counts.items() if name != EQUAL]
    return ", ".join([f"{counts[EQUAL]} of {len(grades)} solved{share}", *rest])


def total_cost(results: Iterable[searcher_pb2.BatchResult]) -> types_pb2.Cost:
    """The sum of what the results cost."""
    total = types_pb2.Cost()
    for item in results:
        for cost_field, value in item.result.cost.ListFields():
            setattr(total, cost_field.name, getattr(total, cost_field.name) + value)
    return total


def demo_totals(done: Campaign, *, started_seconds: float, memory_bytes: int) -> str:
    """The last lines of the demo."""
    cost = total_cost(done.results)
    return (
        f"{grade_totals(done.grades)}\n"
        f"{done.seconds:.1f} s for the batch, {started_seconds:.1f} s to start the stack; "
        f"{cost.generated_tokens:,} tokens, {cost.sandbox_runs:,} sandbox runs, "
        f"{cost.rollouts:,} rollouts; stack memory {memory_bytes / 2**30:.2f} GiB"
    )


def dead_letters_table(letters: Iterable[searcher_pb2.DeadLetter]) -> Table:
    """`rstar dead-letters`."""
    table = Table("id", "batch", "problem", "attempts", "reason", box=None, pad_edge=False)
    for letter in letters:
        again = "" if letter.retryable else " (cannot be retried)"
        table.add_row(
            letter.dead_letter_id,
            Text(one_line(letter.batch_id, 32)),
            Text(one_line(letter.problem_id, 40)),
            str(letter.attempts),
            Text(one_line(letter.failure.message, 100) + again),
        )
    return table
