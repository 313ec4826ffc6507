"""The four questions a search asks of others. Real answers come by gRPC (`clients`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rstar_searcher.model import Candidate, Expanded, Outcome, StepKind, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is searched."""

    question: str
    problem_id: str = ""
    answer_kind: int = 0
    """`rstar.v1.AnswerKind`."""

    reference: str | None = None
    """Known in data generation only."""

    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeOptions:
    """How candidates are sampled."""

    num_candidates: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    enough: int = 0
    """So many are waited for, the shortest; the others come back incomplete. 0: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredStep:
    """A sibling as the PPM sees it."""

    candidate: Candidate
    output: str = ""


class Services(Protocol):
    """Everything a search waits for. Failures raise `rstar_common.errors`."""

    async def propose(
        self, question: str, path: Sequence[Expanded], options: ProposeOptions
    ) -> list[Candidate]:
        """Samples in order, incomplete ones included."""

    async def execute(
        self, path: Sequence[str], siblings: Sequence[str], *, seed: int
    ) -> tuple[list[Outcome], str]:
        """Run each sibling on the state of `path`; outcomes in order, and the version."""

    async def score(
        self, question: str, path: Sequence[Expanded], siblings: Sequence[ScoredStep]
    ) -> tuple[list[float], str]:
        """PPM scores in [-1, 1] in order, and the PPM's version."""

    async def judge(self, problem: Problem, answers: Sequence[str]) -> list[Verdict]:
        """Each answer against the problem's reference."""


def is_code(kind: StepKind) -> bool:
    """Whether a step of this kind is executed."""
    return kind is not StepKind.ANSWER
