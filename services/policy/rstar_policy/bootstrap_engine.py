"""The random-program proposer as an engine: a policy before there is a policy.

It runs in this process and takes milliseconds, so there is nothing to start, to watch or
to swap. Its steps carry neither token ids nor log-probabilities, because no tokens made
them; the programs print the answer, so a final step's output is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rstar_common.errors import InvalidInput
from rstar_common.formats import StepKind
from rstar_policy.engine import Candidate, EngineInfo, Proposal, Query, Usage


class ProposedStep(Protocol):
    """A step of the proposer."""

    @property
    def text(self) -> str: ...
    @property
    def final(self) -> bool: ...


class Proposer(Protocol):
    """What this module needs of `rstar_policy.bootstrap`."""

    @property
    def version(self) -> str: ...

    def propose(
        self, question: str, path_texts: Sequence[str], *, num_candidates: int, seed: int
    ) -> Sequence[ProposedStep]: ...


class BootstrapEngine:
    """Implements `Engine`."""

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer

    def info(self) -> EngineInfo:
        return EngineInfo(
            policy_version=self._proposer.version,
            tokenizer="",
            prompt_format="mini",
            engine="bootstrap",
            max_context_tokens=0,
        )

    async def propose(self, query: Query) -> Proposal:
        if query.path and query.path[-1].kind is not StepKind.CODE:
            raise InvalidInput("ends with a final step; nothing follows it", field="path")
        steps = self._proposer.propose(
            query.question,
            [step.text for step in query.path],
            num_candidates=query.num_candidates,
            seed=query.seed,
        )
        version = self._proposer.version
        candidates = [
            Candidate(
                text=step.text,
                kind=StepKind.FINAL_CODE if step.final else StepKind.CODE,
                complete=True,
                # The proposer draws all its candidates from the one seed it was given.
                seed=query.seed,
                policy_version=version,
                output_is_answer=step.final,
            )
            for step in steps
        ]
        return Proposal(candidates=candidates, usage=Usage())
