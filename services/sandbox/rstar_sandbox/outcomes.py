"""What the service reports of a run or a judgement, checked as it leaves the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rstar_sandbox.guest.outcome import MAX_MESSAGE_CHARACTERS, MAX_TYPE_CHARACTERS

MAX_LINE = 2**31 - 1


class LimitHit(StrEnum):
    """Which limit ended a run."""

    NONE = ""
    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Raised:
    """The exception that ended a run."""

    type: str
    message: str
    line: int
    """1-based, in the step's own code; 0 when it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What became of one sibling."""

    stdout: str = ""
    truncated: bool = False
    exception: Raised | None = None
    limit: LimitHit = LimitHit.NONE
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @classmethod
    def from_message(cls, message: Any) -> RunOutcome:
        """Check what a guest claims.

        Raises:
            ValueError: no guest of ours says such a thing.
        """
        try:
            raised = message.get("exception")
            return cls(
                stdout=_text(message["stdout"]),
                truncated=bool(message["truncated"]),
                exception=_raised(*raised) if raised else None,
                limit=LimitHit(message["limit"]),
                wall_seconds=_seconds(message["wall"]),
                cpu_seconds=_seconds(message["cpu"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an outcome: {error}") from error


@dataclass(frozen=True, slots=True)
class RunsReport:
    """Of one request: an outcome a sibling, in order."""

    outcomes: tuple[RunOutcome, ...]
    cpu_seconds: float
    path_failed: bool

    @classmethod
    def from_message(cls, message: Any, siblings: int) -> RunsReport:
        """Check what a guest claims.

        Raises:
            ValueError: no guest of ours says such a thing.
        """
        outcomes = tuple(RunOutcome.from_message(item) for item in message["outcomes"])
        if len(outcomes) != siblings:
            raise ValueError(f"{len(outcomes)} outcomes of {siblings} siblings")
        return cls(outcomes, _seconds(message["cpu"]), bool(message["path_failed"]))


SANDBOX_LOST = RunOutcome(
    limit=LimitHit.MEMORY,
    exception=Raised("SandboxLost", "the run brought its sandbox down, alone", 0),
)
"""Of a run that killed two sandboxes, the second one while nothing else was in it."""


def _raised(kind: Any, message: Any, line: Any) -> Raised:
    if not isinstance(line, int) or not 0 <= line <= MAX_LINE:
        raise ValueError("not a line number")
    return Raised(_text(kind)[:MAX_TYPE_CHARACTERS], _text(message)[:MAX_MESSAGE_CHARACTERS], line)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value.encode(errors="replace").decode()  # a lone surrogate cannot cross protobuf


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < 1e9:
        raise ValueError("not a duration")
    return seconds
