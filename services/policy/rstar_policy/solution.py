"""The rest of a solution in one go: greedy steps until one is final.

The policy sees the output of a FINAL_CODE step only (paper, section 3.1), so nothing has to run
before that step is there. Each step is a call of its own whose prompt is cached but for the step
before it; where a step ends, and what it says, is the prompter's matter as it is in a search.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from rstar_common.formats import PromptStep, StepKind
from rstar_policy.engine import Candidate, Proposal, Query, Usage

Propose = Callable[[Query], Awaitable[Proposal]]


async def solution(propose: Propose, query: Query, *, max_steps: int) -> Proposal:
    """The steps that follow the path of `query`, in order; at least one.

    The last is final, or incomplete, or the `max_steps`th. `query` asks for one candidate.

    Raises:
        InvalidInput: no step can follow the path, or the question cannot be asked.
        DeadlineExceeded, Unavailable: as `propose` does for one step.
    """
    steps: list[Candidate] = []
    usage = Usage()
    while len(steps) < max_steps:
        proposal = await propose(query)
        [step] = proposal.candidates
        steps.append(step)
        usage += proposal.usage
        if not step.complete or step.kind is not StepKind.CODE:
            break
        query = replace(query, path=(*query.path, _accepted(step)))
    return Proposal(candidates=steps, usage=usage)


def _accepted(step: Candidate) -> PromptStep:
    return PromptStep(
        text=step.text,
        kind=StepKind.CODE,
        output="",
        token_ids=tuple(step.token_ids),
        tokenizer=step.tokenizer,
    )
