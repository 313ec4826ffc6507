"""What is asked of the zygote, and what a request has come to so far."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from rstar_sandbox.guest import kernel
from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.outcome import Outcome
from rstar_sandbox.guest.process import Interpreter

CANCELLED = "cancelled"
"""Stands for a limit in the outcomes of a request that nobody waits for any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An execute request."""

    session: str
    seed: int
    limits: Limits
    path: Sequence[str]
    siblings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One outcome a sibling; `path_failed` when they repeat the path's failure."""

    outcomes: list[Outcome]
    cpu_seconds: float
    path_failed: bool = False


@dataclass(slots=True, eq=False)
class Course:
    """How a job goes. Whatever it runs in interpreters of its own runs through here."""

    cpu_seconds: float = 0.0
    failure: Outcome | None = None
    """How the path itself failed, if it did."""

    cancelled: bool = False
    _running: set[Interpreter] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        return self.cancelled or self.failure is not None

    def count(self, outcome: Outcome) -> Outcome:
        self.cpu_seconds += outcome.cpu_seconds
        return outcome

    async def run(
        self, interpreter: Interpreter, code: str, place: int, limits: Limits, state: bytes = b""
    ) -> Outcome:
        """Run the step of this place for good, unless the job was cancelled."""
        if self.cancelled:
            return Outcome(limit=CANCELLED)
        with self.running(interpreter):
            outcome = await interpreter.run(code, step_name(place), limits, state)
        return replace(outcome, limit=CANCELLED) if self.cancelled else self.count(outcome)

    @contextmanager
    def running(self, interpreter: Interpreter) -> Generator[None]:
        """Let a cancel end what runs there."""
        self._running.add(interpreter)
        try:
            yield
        finally:
            self._running.discard(interpreter)

    def cancel(self) -> None:
        """Nobody waits for it: end what runs, start nothing more."""
        self.cancelled = True
        for interpreter in self._running:
            kernel.kill(interpreter.pid)


def step_name(place: int) -> str:
    """Of a step in tracebacks."""
    return f"<step {place + 1}>"
