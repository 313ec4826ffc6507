"""What callers hold: plain frozen values, in the words of the protos.

Names of strategies, selections, states and verdicts are those of the protos' enums,
lower-case and without their prefix: `"mcts"`, `"best_ppm"`, `"answered"`, `"running"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

StrategyName = Literal["mcts", "step_beam", "best_of_n", "majority", "greedy"]
SelectionName = Literal["best_ppm", "majority", "weighted_majority"]
AnswerKindName = Literal["exact", "number", "choice", "text", "latex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a problem is searched; what is None is left to the server."""

    strategy: StrategyName | None = None
    rollouts: int | None = None
    """Rollouts of a tree (mcts), beam width (step_beam) or trajectories."""

    candidates: int | None = None
    parallel_rollouts: int | None = None
    exploration: float | None = None
    answer_selection: SelectionName | None = None
    top_k: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_depth: int | None = None
    max_step_tokens: int | None = None
    max_trajectory_tokens: int | None = None
    seed: int | None = None
    trees: int | None = None
    """Independent trees whose trajectories are pooled."""

    enough_candidates: int | None = None
    """Candidates longer than so many of their siblings are cut off."""

    max_generated_tokens: int | None = None
    max_sandbox_seconds: float | None = None
    max_wall_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of a batch. It has no reference: answers are compared afterwards."""

    problem_id: str
    question: str
    answer_kind: AnswerKindName = "exact"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a solution: its code, and what that printed."""

    text: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something cost."""

    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    ppm_tokens: int = 0
    policy_calls: int = 0
    ppm_calls: int = 0
    sandbox_runs: int = 0
    sandbox_seconds: float = 0.0
    wall_seconds: float = 0.0
    retries: int = 0
    expansions: int = 0
    rollouts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One finished line of thought."""

    answer: str
    ppm_score: float | None
    mean_q: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a search found."""

    search_id: str
    problem_id: str
    status: str
    """answered, no_answer, cancelled or failed."""

    ended_by: str
    """rollouts, exhausted, generated_tokens, sandbox_seconds, wall_time, cancel, …"""

    answer: str
    """Empty unless answered."""

    answer_score: float
    solution: Sequence[Step]
    trajectories: Sequence[Trajectory]
    """Every finished one, best first; empty in the results of a batch."""

    choices: Mapping[str, str]
    """The answer that each rule chooses of them, by `SelectionName`; empty for `greedy`, and only
    that of `majority` without a PPM."""

    cost: Cost
    versions: Mapping[str, str]
    """Of `policy`, `ppm` and `sandbox`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened in a search."""

    search_id: str
    sequence: int
    """Counts from 1; a gap means events this client was too slow for, or a new connection."""

    cost: Cost
    """So far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The search has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded(Event):
    """A node got children."""

    parent: int
    children: int
    dropped: int
    """Candidates whose code failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutEnded(Event):
    """A rollout reached its end."""

    rollouts_done: int
    rollouts_total: int
    answer: str
    best_answer: str
    """What would be returned if the search ended now."""

    best_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The search has ended; the last event."""

    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchState:
    """A search, wherever it runs."""

    search_id: str
    status: str
    """`running`, or how it ended."""

    result: Result | None
    """None while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch and how far it is."""

    batch_id: str
    state: str
    """accepting, running, paused, cancelled or done."""

    total: int
    done: int
    dead: int
    """Problems that were refused or given up."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("cancelled", "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """One problem of a batch, solved or not."""

    problem_id: str
    question: str
    labels: Mapping[str, str]
    result: Result
    finished_at: datetime
