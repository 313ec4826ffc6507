"""The searcher's side of policy, ppm and sandbox: retry, count, translate.

A search keeps to one replica of each service (rendezvous hash of its id), so that prefixes
and parked interpreters stay warm; a replica that refuses or is gone is overflowed to the
next. A full or failed service is never knowledge: the call waits and is made again, for at
most `GIVE_UP_SECONDS`, then the search fails and is redelivered.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import Counter

from rstar.v1 import (
    policy_pb2,
    policy_pb2_grpc,
    ppm_pb2,
    ppm_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
    types_pb2,
)
from rstar_common.errors import InvalidInput, Overloaded, Unavailable
from rstar_common.net import split_address
from rstar_common.rpc import call, channel
from rstar_searcher import wire
from rstar_searcher.meter import Meter
from rstar_searcher.model import Candidate, Expanded, Outcome, Verdict
from rstar_searcher.services import Problem, ProposeOptions, ScoredStep

GIVE_UP_SECONDS = 60.0
"""Longest one question is asked again before the search fails."""

FIRST_BACKOFF_SECONDS = 0.05
LAST_BACKOFF_SECONDS = 2.0

RETRIES = Counter("rstar_searcher_retries_total", "Calls made again.", ["service", "reason"])

StubT = TypeVar("StubT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Replicas(Generic[StubT]):
    """Stubs of one service by address."""

    service: str
    stubs: dict[str, StubT]

    def ordered(self, search_id: str) -> list[StubT]:
        """Stubs in the order this search prefers them (rendezvous hashing)."""
        addresses = sorted(
            self.stubs,
            key=lambda address: hashlib.sha256(f"{address}|{search_id}".encode()).digest(),
        )
        return [self.stubs[address] for address in addresses]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """Every replica of the three services a search needs."""

    policy: Replicas[policy_pb2_grpc.PolicyServiceAsyncStub]
    ppm: Replicas[ppm_pb2_grpc.PpmServiceAsyncStub]
    sandbox: Replicas[sandbox_pb2_grpc.SandboxServiceAsyncStub]

    @property
    def has_ppm(self) -> bool:
        """Whether a PPM is configured at all."""
        return bool(self.ppm.stubs)


async def connect(stack: AsyncExitStack, *, policy: str, ppm: str, sandbox: str) -> Tiers:
    """Open channels to comma-separated `host:port` lists; `ppm` may be empty.

    Raises:
        InvalidInput: naming the setting that is no address.
    """

    async def replicas(service: str, addresses: str, make: Callable[..., StubT]) -> Replicas[StubT]:
        stubs = {}
        for address in filter(None, (part.strip() for part in addresses.split(","))):
            split_address(address, field=f"{service}_address")
            stubs[address] = make(await stack.enter_async_context(channel(address)))
        if not stubs and service != "ppm":
            raise InvalidInput("must name at least one host:port", field=f"{service}_address")
        return Replicas(service, stubs)

    return Tiers(
        policy=await replicas("policy", policy, policy_pb2_grpc.PolicyServiceStub),
        ppm=await replicas("ppm", ppm, ppm_pb2_grpc.PpmServiceStub),
        sandbox=await replicas("sandbox", sandbox, sandbox_pb2_grpc.SandboxServiceStub),
    )


class GrpcServices:
    """`Services` for one search, by gRPC. Counts into the search's meter."""

    def __init__(self, tiers: Tiers, search_id: str, meter: Meter) -> None:
        self._search_id = search_id
        self._meter = meter
        self._policy = tiers.policy.ordered(search_id)
        self._ppm = tiers.ppm.ordered(search_id)
        self._sandbox = tiers.sandbox.ordered(search_id)
        self._ppm_version = ""
        self._jitter = random.Random(search_id)

    async def propose(
        self, question: str, path: Sequence[Expanded], options: ProposeOptions
    ) -> list[Candidate]:
        request = policy_pb2.ProposeRequest(
            question=question,
            path=wire.path_to(path),
            num_candidates=options.num_candidates,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
            max_tokens=options.max_tokens,
            search_id=self._search_id,
        )
        response = await self._ask("policy", self._policy, lambda stub: stub.Propose(request))
        self._meter.policy_calls += 1
        self._meter.generated_tokens += response.cost.generated_tokens
        self._meter.prompt_tokens += response.cost.prompt_tokens
        self._meter.cached_prompt_tokens += response.cost.cached_prompt_tokens
        self._meter.retries += response.cost.retries
        return [wire.candidate_from(candidate) for candidate in response.candidates]

    async def execute(
        self, path: Sequence[str], siblings: Sequence[str], *, seed: int
    ) -> tuple[list[Outcome], str]:
        if not siblings:
            return [], ""
        request = sandbox_pb2.ExecuteRequest(
            session=self._search_id, path=path, siblings=siblings, seed=seed
        )
        response = await self._ask("sandbox", self._sandbox, lambda stub: stub.Execute(request))
        self._meter.sandbox_runs += len(siblings)
        self._meter.sandbox_seconds += response.cpu_seconds
        if response.path_failed or len(response.outcomes) != len(siblings):
            raise Unavailable("sandbox: the path ran before and fails now")
        return [wire.outcome_from(outcome) for outcome in response.outcomes], (
            response.sandbox_version
        )

    async def score(
        self, question: str, path: Sequence[Expanded], siblings: Sequence[ScoredStep]
    ) -> tuple[list[float], str]:
        if not siblings:
            return [], ""
        request = ppm_pb2.ScoreRequest(
            question=question,
            path=wire.path_to(path),
            siblings=[wire.step_to(step.candidate, step.output) for step in siblings],
            # Scores of different versions are not comparable: a search keeps to its first.
            ppm_version=self._ppm_version,
            search_id=self._search_id,
        )
        response = await self._ask("ppm", self._ppm, lambda stub: stub.Score(request))
        self._meter.ppm_calls += 1
        self._meter.ppm_tokens += response.computed_tokens
        self._ppm_version = response.ppm_version
        return list(response.scores), response.ppm_version

    async def judge(self, problem: Problem, answers: Sequence[str]) -> list[Verdict]:
        assert problem.reference is not None, "only data generation judges"
        request = sandbox_pb2.JudgeRequest(
            pairs=[
                sandbox_pb2.AnswerPair(
                    answer=answer,
                    reference=problem.reference,
                    kind=types_pb2.AnswerKind.ValueType(problem.answer_kind),
                    question=problem.question,
                )
                for answer in answers
            ]
        )
        response = await self._ask("sandbox", self._sandbox, lambda stub: stub.Judge(request))
        return [
            wire.VERDICT_FROM.get(judgement.verdict, Verdict.UNDECIDED)
            for judgement in response.judgements
        ]

    async def _ask(
        self,
        service: str,
        replicas: Sequence[StubT],
        rpc: Callable[[StubT], Awaitable[ResultT]],
    ) -> ResultT:
        deadline = asyncio.get_running_loop().time() + GIVE_UP_SECONDS
        attempt = 0
        while True:
            try:
                return await call(rpc(replicas[attempt % len(replicas)]))
            except (Overloaded, Unavailable) as error:
                full = isinstance(error, Overloaded)
                RETRIES.labels(service, "full" if full else "unavailable").inc()
                attempt += 1
                self._meter.retries += 1
                pause = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
                if isinstance(error, Overloaded):
                    pause = min(error.retry_after_seconds, LAST_BACKOFF_SECONDS)
                if asyncio.get_running_loop().time() + pause > deadline:
                    raise Unavailable(f"{service}: {error}") from error
                if attempt % len(replicas) == 0 or full:
                    # Jitter, so that those refused together do not return together.
                    await asyncio.sleep(pause * (0.5 + self._jitter.random()))
