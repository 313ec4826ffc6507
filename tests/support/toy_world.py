"""Scripted services behind the searcher's own `Services` protocol: a world made of hashes.

Everything depends on what is asked, never on when, so two searches of one problem see the
same world. Steps are `d1.7` and the like; a trajectory ends at depth `depth` with an answer
in 0 … 9, and about one candidate in five raises.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

from rstar_searcher.meter import Meter
from rstar_searcher.model import (
    Candidate,
    Expanded,
    Outcome,
    Raised,
    StepKind,
    Verdict,
    packed_ids,
)
from rstar_searcher.services import Problem, ProposeOptions, ScoredStep


def unit(*what: object) -> float:
    """A number in [0, 1) that depends on `what` alone."""
    digest = hashlib.sha256("|".join(map(str, what)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class ToyWorld:
    """Answers instantly, or in whatever order `delay` makes of it."""

    def __init__(
        self,
        meter: Meter | None = None,
        *,
        depth: int = 3,
        choices: int = 6,
        delay: Callable[[], float] = lambda: 0.0,
        gate: asyncio.Event | None = None,
    ) -> None:
        self.meter = meter or Meter()
        self.depth = depth
        self.choices = choices
        self.delay = delay
        self.gate = gate
        self.proposed: list[tuple[str, ...]] = []
        self.entered = asyncio.Event()
        self.in_flight = 0

    async def propose(
        self, question: str, path: Sequence[Expanded], options: ProposeOptions
    ) -> list[Candidate]:
        texts = tuple(step.candidate.text for step in path)
        self.proposed.append(texts)
        self.entered.set()
        self.in_flight += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(self.delay())
        finally:
            self.in_flight -= 1
        final = len(path) + 1 >= self.depth
        self.meter.policy_calls += 1
        self.meter.generated_tokens += 10 * options.num_candidates

        def text(sample: int) -> str:
            choice = int(self.choices * unit(question, texts, options.seed, sample))
            return f"d{len(path) + 1}.{choice}"

        return [
            Candidate(
                text=text(j),
                kind=StepKind.FINAL_CODE if final else StepKind.CODE,
                token_ids=packed_ids((1, 2, 3)),
                tokenizer="toy",
                seed=options.seed + j,
                policy_version="policy-toy",
                output_is_answer=final,
            )
            for j in range(options.num_candidates)
        ]

    async def execute(
        self, path: Sequence[str], siblings: Sequence[str], *, seed: int
    ) -> tuple[list[Outcome], str]:
        await asyncio.sleep(self.delay())
        self.meter.sandbox_runs += len(siblings)
        self.meter.sandbox_seconds += 0.01 * len(siblings)
        outcomes = []
        for code in siblings:
            if unit("raises", *path, code) < 0.2:
                outcomes.append(Outcome(raised=Raised(type="ValueError", message="toy", line=1)))
            else:
                final = len(path) + 1 >= self.depth
                answer = f"{int(10 * unit('answer', *path, code))}\n" if final else ""
                outcomes.append(Outcome(stdout=answer, wall_seconds=0.01, cpu_seconds=0.01))
        return outcomes, "sandbox-toy"

    async def score(
        self, question: str, path: Sequence[Expanded], siblings: Sequence[ScoredStep]
    ) -> tuple[list[float], str]:
        await asyncio.sleep(self.delay())
        self.meter.ppm_calls += 1
        texts = [step.candidate.text for step in path]
        return [2 * unit("ppm", *texts, s.candidate.text) - 1 for s in siblings], "ppm-toy"

    async def judge(self, problem: Problem, answers: Sequence[str]) -> list[Verdict]:
        return [
            Verdict.EQUAL if answer == problem.reference else Verdict.UNEQUAL for answer in answers
        ]
