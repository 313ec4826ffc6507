"""The simulated world as the searcher's own `Services`, in this process.

A `Stopwatch` measures the searcher's reaction: from a reply's arrival to the next request
of the same search.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rstar_searcher.bench import texts
from rstar_searcher.bench.simulation import Simulation
from rstar_searcher.bench.world import reference
from rstar_searcher.meter import Meter
from rstar_searcher.model import (
    Candidate,
    Expanded,
    Outcome,
    StepKind,
    Verdict,
    packed_ids,
    packed_logprobs,
)
from rstar_searcher.services import Problem, ProposeOptions, ScoredStep

NO_SCORE = 0.0
"""Of answers, which the rules leave unscored; a child that is visited once needs none."""


class Stopwatch:
    """Seconds between a reply and the next request of the same search."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self._replied: dict[int | str, float] = {}

    def requested(self, search: int | str) -> None:
        """Called with every request."""
        replied = self._replied.pop(search, None)
        if replied is not None:
            self.delays.append(asyncio.get_running_loop().time() - replied)

    def replied(self, search: int | str, when: float) -> None:
        """Called with the time at which a reply was there, on the loop's clock."""
        self._replied[search] = max(when, self._replied.get(search, when))


class SimulatedServices:
    """Implements `Services` for every search of a run; `meter` is one search's."""

    def __init__(
        self,
        simulation: Simulation,
        meter: Meter,
        *,
        provenance: bool = False,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        """With `provenance`, candidates carry token ids and log-probabilities."""
        self._simulation = simulation
        self._world = simulation.world
        self._meter = meter
        self._provenance = provenance
        self._stopwatch = stopwatch

    async def propose(
        self, question: str, path: Sequence[Expanded], options: ProposeOptions
    ) -> list[Candidate]:
        pid, place = texts.place_below(question, [step.candidate.text for step in path])
        self._requested(pid)
        lengths, due = await self._simulation.generate(
            pid, place, options.num_candidates, enough=options.enough
        )
        self._meter.policy_calls += 1
        self._meter.generated_tokens += sum(map(abs, lengths))
        candidates = proposed(self._simulation, pid, place, lengths, provenance=self._provenance)
        self._replied(pid, due)
        return candidates

    async def execute(
        self, path: Sequence[str], siblings: Sequence[str], *, seed: int
    ) -> tuple[list[Outcome], str]:
        if not siblings:
            return [], ""
        places = [texts.place_of(text) for text in siblings]
        self._requested(places[0][0])
        seconds = [self._world.execution_seconds(*place) for place in places]
        due = await self._simulation.execute(seconds)
        self._meter.sandbox_runs += len(siblings)
        self._meter.sandbox_seconds += sum(seconds)
        self._replied(places[0][0], due)
        return [Outcome(wall_seconds=each, cpu_seconds=each) for each in seconds], "simulated"

    async def score(
        self, question: str, path: Sequence[Expanded], siblings: Sequence[ScoredStep]
    ) -> tuple[list[float], str]:
        if not siblings or siblings[0].candidate.kind is StepKind.ANSWER:
            return [NO_SCORE] * len(siblings), "simulated"
        places = [texts.place_of(sibling.candidate.text) for sibling in siblings]
        due = await self._simulation.score(len(siblings))
        self._meter.ppm_calls += 1
        self._replied(places[0][0], due)
        return [self._world.ppm_value(*place) for place in places], "simulated"

    async def judge(self, problem: Problem, answers: Sequence[str]) -> list[Verdict]:
        return [
            Verdict.EQUAL if answer == problem.reference else Verdict.UNEQUAL for answer in answers
        ]

    def _requested(self, pid: int) -> None:
        if self._stopwatch is not None:
            self._stopwatch.requested(pid)

    def _replied(self, pid: int, due: float) -> None:
        if self._stopwatch is not None:
            self._stopwatch.replied(pid, due)


def proposed(
    simulation: Simulation, pid: int, place: str, lengths: Sequence[int], *, provenance: bool
) -> list[Candidate]:
    """The candidates below a node; of a final step's answers only the first is kept.

    One of negative length was cut off there.
    """
    world = simulation.world
    answers = texts.is_answer(world, pid, f"{place}.0")
    whole = next(j for j, length in enumerate(lengths) if length > 0)
    candidates = []
    for j, signed in enumerate(lengths[: whole + 1] if answers else lengths):
        path, length = f"{place}.{j}", abs(signed)
        if answers:
            kind = StepKind.ANSWER
        else:
            kind = StepKind.FINAL_CODE if world.is_final(pid, path) else StepKind.CODE
        candidates.append(
            Candidate(
                text=texts.step_text(pid, path, length),
                kind=kind,
                token_ids=packed_ids(texts.token_ids(path, length)) if provenance else (),
                token_logprobs=packed_logprobs(texts.logprobs(length)) if provenance else (),
                tokenizer="simulated",
                policy_version="simulated",
                answer=str(world.answer(pid, path)) if answers else None,
                complete=signed > 0,
            )
        )
    return candidates


def problem_of(pid: int) -> Problem:
    """A problem of the simulated world, as data generation has it."""
    return Problem(
        question=texts.question_of(pid), problem_id=f"p{pid}", reference=str(reference(pid))
    )
