"""One expansion: propose, merge, execute and score at once, judge.

Candidates with the same text are merged before anything is spent on them; where a search
says how many siblings are enough, the longer ones come back cut off and are dropped. Steps
that print no answer are scored while they execute; steps whose output is the answer are
scored with it, for the output is the best hint at a wrong program.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rstar_common.errors import InvalidInput
from rstar_searcher.model import Candidate, Dropped, Expanded, Outcome, StepKind
from rstar_searcher.services import Problem, ProposeOptions, ScoredStep, Services, is_code
from rstar_searcher.settings import SearchSettings

UNREADABLE_SCORE = -1.0
"""Of a prefix longer than the PPM can read: whatever it says, it is no good solution."""

MAX_ANSWER_CHARACTERS = 4_096
"""What is printed beyond this is no answer."""

MAX_CALL = 64
"""Candidates one call of a service may carry (see the protos)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What became of the candidates of one node."""

    children: tuple[Expanded, ...]
    dropped: tuple[Dropped, ...]
    duplicates: int = 0


def seed_of(seed: int, key: str) -> int:
    """A 63-bit seed that depends on what is asked, never on when."""
    digest = hashlib.sha256(f"{seed}|{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


async def expand(
    services: Services,
    problem: Problem,
    settings: SearchSettings,
    path: Sequence[Expanded],
    *,
    key: str,
    num_candidates: int,
) -> Expansion:
    """Expand the node at the end of `path`; `key` names it for the seeds."""
    samples = await _propose(services, problem, settings, path, key, num_candidates)
    merged, dropped = merge(samples)
    session_seed = seed_of(settings.seed, "execute")
    codes = [step for step in merged if is_code(step.candidate.kind)]
    early = [step for step in merged if not _ends_by_output(step)] if settings.uses_ppm else []
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_execute(services, path, codes, session_seed))
        scoring = group.create_task(_score(services, problem, path, early))
    outcomes, scores = running.result(), scoring.result()

    children: list[Expanded] = []
    for step in merged:
        outcome = outcomes.get(step.sample)
        if outcome is not None and not outcome[0].valid:
            dropped.append(Dropped(candidate=step.candidate, outcome=outcome[0]))
            continue
        child = replace(step, answer=step.candidate.answer)
        if outcome is not None:
            child = replace(child, outcome=outcome[0], sandbox_version=outcome[1])
        if _ends_by_output(step) and outcome is not None:
            child = replace(child, answer=outcome[0].stdout.strip())
            if not 0 < len(child.answer or "") <= MAX_ANSWER_CHARACTERS:
                dropped.append(Dropped(candidate=step.candidate, outcome=outcome[0]))
                continue
        children.append(child)

    if settings.uses_ppm:
        late = [child for child in children if _ends_by_output(child)]
        scores |= await _score(services, problem, path, late)
        children = [
            replace(child, ppm_score=scores[child.sample][0], ppm_version=scores[child.sample][1])
            if child.sample in scores
            else child
            for child in children
        ]
    if settings.mode.uses_reference:
        children = await _judge(services, problem, children)
    return Expansion(
        children=tuple(children),
        dropped=tuple(dropped),
        duplicates=len(samples) - len(merged) - sum(not c.complete for c in samples),
    )


def merge(samples: Sequence[Candidate]) -> tuple[list[Expanded], list[Dropped]]:
    """One entry for each distinct text, in sample order; incomplete samples are dropped."""
    by_text: dict[tuple[StepKind, str], Expanded] = {}
    dropped = []
    for index, sample in enumerate(samples):
        if not sample.complete:
            dropped.append(Dropped(candidate=sample))
            continue
        key = (sample.kind, sample.text)
        if key in by_text:
            by_text[key] = replace(by_text[key], multiplicity=by_text[key].multiplicity + 1)
        else:
            by_text[key] = Expanded(sample=index, candidate=sample)
    return list(by_text.values()), dropped


def _ends_by_output(step: Expanded) -> bool:
    return step.candidate.kind is StepKind.FINAL_CODE and step.candidate.output_is_answer


async def _propose(
    services: Services,
    problem: Problem,
    settings: SearchSettings,
    path: Sequence[Expanded],
    key: str,
    num_candidates: int,
) -> list[Candidate]:
    samples: list[Candidate] = []
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(
                services.propose(
                    problem.question,
                    path,
                    ProposeOptions(
                        num_candidates=min(MAX_CALL, num_candidates - first),
                        temperature=settings.temperature,
                        top_p=settings.top_p,
                        max_tokens=settings.max_step_tokens,
                        enough=settings.enough_candidates,
                        seed=seed_of(settings.seed, f"{key}/{first}"),
                    ),
                )
            )
            for first in range(0, num_candidates, MAX_CALL)
        ]
    for call in calls:
        samples += call.result()
    return samples


async def _execute(
    services: Services, path: Sequence[Expanded], steps: Sequence[Expanded], seed: int
) -> dict[int, tuple[Outcome, str]]:
    prefix = [step.candidate.text for step in path if is_code(step.candidate.kind)]
    found: dict[int, tuple[Outcome, str]] = {}
    for first in range(0, len(steps), MAX_CALL):
        part = steps[first : first + MAX_CALL]
        outcomes, version = await services.execute(
            prefix, [step.candidate.text for step in part], seed=seed
        )
        found |= {
            step.sample: (outcome, version) for step, outcome in zip(part, outcomes, strict=True)
        }
    return found


async def _score(
    services: Services, problem: Problem, path: Sequence[Expanded], steps: Sequence[Expanded]
) -> dict[int, tuple[float, str]]:
    found: dict[int, tuple[float, str]] = {}
    for first in range(0, len(steps), MAX_CALL):
        part = steps[first : first + MAX_CALL]
        siblings = [
            ScoredStep(candidate=step.candidate, output=step.outcome.stdout if step.outcome else "")
            for step in part
        ]
        try:
            scores, version = await services.score(problem.question, path, siblings)
        except InvalidInput:
            # One of them is too long for the PPM: that one is to blame, not its siblings.
            if len(part) == 1:
                return {part[0].sample: (UNREADABLE_SCORE, "")}
            for step in part:
                found |= await _score(services, problem, path, [step])
            continue
        found |= {step.sample: (score, version) for step, score in zip(part, scores, strict=True)}
    return found


async def _judge(services: Services, problem: Problem, children: list[Expanded]) -> list[Expanded]:
    answers = sorted({child.answer for child in children if child.answer is not None})
    if not answers:
        return children
    verdicts = dict(zip(answers, await services.judge(problem, answers), strict=True))
    return [
        replace(child, verdict=verdicts[child.answer]) if child.answer is not None else child
        for child in children
    ]
