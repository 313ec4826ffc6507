"""What the search core is told: candidates, outcomes, scores. Frozen values, no wire types."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from rstar_common.formats import StepKind

__all__ = [
    "Candidate",
    "Dropped",
    "Expanded",
    "Outcome",
    "Raised",
    "StepKind",
    "Verdict",
    "packed_ids",
    "packed_logprobs",
]


def packed_ids(ids: Iterable[int]) -> Sequence[int]:
    """Four bytes each, as on the wire: tuples of Python numbers were most of a tree's memory."""
    return array("I", ids) or ()


def packed_logprobs(logprobs: Iterable[float]) -> Sequence[float]:
    """Four bytes each, which is the precision they have on the wire."""
    return array("f", logprobs) or ()


class Verdict(Enum):
    """Answer against reference; UNDECIDED is neither right nor wrong."""

    EQUAL = "equal"
    UNEQUAL = "unequal"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A step the policy suggests, with its provenance."""

    text: str
    kind: StepKind
    token_ids: Sequence[int] = ()
    """See `packed_ids`."""

    tokenizer: str = ""
    token_logprobs: Sequence[float] = ()
    """See `packed_logprobs`."""

    seed: int = 0
    policy_version: str = ""
    answer: str | None = None
    """Stated by an ANSWER step."""

    output_is_answer: bool = False
    """On a FINAL_CODE step of the mini format: what it prints is the answer."""

    complete: bool = True
    """False when a length limit cut it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """The exception that ended a run."""

    type: str
    message: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What running a step did."""

    stdout: str = ""
    truncated: bool = False
    raised: Raised | None = None
    limit: int = 0
    """`rstar.v1.LimitKind`; 0 is none."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def valid(self) -> bool:
        """Decided by exception and limit, never by what was printed."""
        return self.raised is None and not self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """A valid candidate, ready to become a node."""

    sample: int
    """Index of the first sample with this text; names the node independently of time."""

    candidate: Candidate
    multiplicity: int = 1
    """How many samples had this text."""

    outcome: Outcome | None = None
    """None for ANSWER steps, which are not executed."""

    ppm_score: float | None = None
    ppm_version: str = ""
    sandbox_version: str = ""
    answer: str | None = None
    """Set if it ends a trajectory."""

    verdict: Verdict | None = None
    """Of `answer`, where a reference is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A candidate that will not become a node."""

    candidate: Candidate
    outcome: Outcome | None = None
    """None when it was incomplete."""
