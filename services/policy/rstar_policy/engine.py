"""What the servicer asks of an engine, in this service's own nouns.

An engine turns a question and the steps accepted so far into candidate next steps.
Behind it stands SGLang, or the bootstrap proposer, or a test's scripted one. It knows
nothing of the wire, of trees or of admission.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rstar_common.formats import PromptStep, StepKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One partial solution, and how its next steps are to be sampled."""

    question: str
    path: Sequence[PromptStep]
    """Accepted steps, root first."""

    num_candidates: int
    temperature: float
    """0 is greedy."""

    top_p: float
    seed: int
    max_tokens: int
    """Longest step in tokens."""

    enough: int = 0
    """Candidates longer than this many of their siblings are cut off at the length of the
    longest of those; 0: none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One suggested step."""

    text: str
    """Without the closing marker."""

    kind: StepKind | None
    """None when no closing marker told."""

    complete: bool
    seed: int
    policy_version: str
    """The weights that generated it."""

    answer: str | None = None
    """The final answer, on an ANSWER step that states one."""

    output_is_answer: bool = False
    token_ids: Sequence[int] = ()
    """As generated, closing marker included."""

    token_logprobs: Sequence[float] = ()
    """Natural logarithm, at temperature 1; one for each token."""

    tokenizer: str = ""
    """Hash of the tokenizer of `token_ids`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens a query cost, work that was thrown away included."""

    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    retries: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            generated_tokens=self.generated_tokens + other.generated_tokens,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_prompt_tokens=self.cached_prompt_tokens + other.cached_prompt_tokens,
            retries=self.retries + other.retries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The answer to a query, in sample order."""

    candidates: Sequence[Candidate]
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What is loaded."""

    policy_version: str
    tokenizer: str
    prompt_format: str
    engine: str
    max_context_tokens: int


class Engine(Protocol):
    """Proposes steps."""

    def info(self) -> EngineInfo:
        """What is loaded.

        Raises:
            Unavailable: nothing is, yet.
        """
        ...

    async def propose(self, query: Query) -> Proposal:
        """Sample the candidates of `query`; cancelling frees the engine at once.

        Raises:
            InvalidInput: the question cannot be asked of this model.
            Unavailable: the engine is down or not up yet.
        """
        ...


def candidate_seed(seed: int, index: int) -> int:
    """The seed of candidate `index` of a query: a hash, so that neighbours share nothing.

    63 bits, because SGLang keeps seeds in signed integers.
    """
    digest = hashlib.sha256(f"{seed}|{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
