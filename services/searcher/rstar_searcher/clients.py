"""The searcher's side of policy, ppm and sandbox: retry, count, translate.

A search keeps to one replica of each service (the less used of two that a hash of its id names),
so that prefixes and parked interpreters stay warm; a replica that refuses or is gone is overflowed
to the next (`asking`). How many calls are in flight follows what a service takes (`window`). A full
or failed service is never knowledge: the call waits and is made again, then the search fails and
is redelivered. Calls carry the search's own deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

from rstar.v1 import (
    policy_pb2,
    policy_pb2_grpc,
    ppm_pb2,
    ppm_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
    types_pb2,
)
from rstar_common.config import PeerSettings
from rstar_common.errors import InvalidInput
from rstar_common.net import split_address
from rstar_common.rpc import channel
from rstar_common.tracing import call_metadata, span
from rstar_searcher import wire
from rstar_searcher.asking import LONG_SECONDS, Asker, Caller, Replicas
from rstar_searcher.meter import Meter
from rstar_searcher.model import Candidate, Expanded, Outcome, Verdict
from rstar_searcher.replaying import execute_on_path
from rstar_searcher.services import Problem, ProposeOptions, ScoredStep
from rstar_searcher.window import Window

StubT = TypeVar("StubT")


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


async def connect(
    stack: AsyncExitStack,
    *,
    policy: str,
    ppm: str,
    sandbox: str,
    peers: PeerSettings | None = None,
    call_seconds: Mapping[str, float] | None = None,
) -> Tiers:
    """Open channels to comma-separated `host:port` lists; `ppm` may be empty.

    `call_seconds` is the longest call of each service, without which none is too long.

    Raises:
        InvalidInput: naming the setting that is no address, or that `peers` cannot follow.
    """

    async def replicas(service: str, addresses: str, make: Callable[..., StubT]) -> Replicas[StubT]:
        stubs = {}
        for address in filter(None, (part.strip() for part in addresses.split(","))):
            split_address(address, field=f"{service}_address")
            stubs[address] = make(await stack.enter_async_context(channel(address, peers)))
        if not stubs and service != "ppm":
            raise InvalidInput("must name at least one host:port", field=f"{service}_address")
        return Replicas(
            service, stubs, Window(service), (call_seconds or {}).get(service, LONG_SECONDS)
        )

    return Tiers(
        policy=await replicas("policy", policy, policy_pb2_grpc.PolicyServiceStub),
        ppm=await replicas("ppm", ppm, ppm_pb2_grpc.PpmServiceStub),
        sandbox=await replicas("sandbox", sandbox, sandbox_pb2_grpc.SandboxServiceStub),
    )


class GrpcServices:
    """`Services` for one search, by gRPC. Counts into the search's meter."""

    def __init__(
        self,
        tiers: Tiers,
        search_id: str,
        meter: Meter,
        *,
        interactive: bool = True,
        seconds: float | None = None,
        ppm_version: str = "",
    ) -> None:
        """Serve a search that may take `seconds` more, and was scored by `ppm_version` before."""
        caller = Caller(
            search_id=search_id,
            meter=meter,
            interactive=interactive,
            ends_at=None
            if seconds is None
            else asyncio.get_running_loop().time() + max(0.0, seconds),
        )
        self._search_id = search_id
        self._meter = meter
        self._policy = Asker(tiers.policy, caller)
        self._ppm = Asker(tiers.ppm, caller)
        self._sandbox = Asker(tiers.sandbox, caller)
        self._ppm_version = ppm_version

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
            enough_candidates=options.enough,
            search_id=self._search_id,
        )
        with span("propose", candidates=options.num_candidates) as traced:
            response = await self._policy.ask(
                lambda stub, s: stub.Propose(request, timeout=s, metadata=self._told())
            )
            traced.set(
                generated_tokens=response.cost.generated_tokens,
                prompt_tokens=response.cost.prompt_tokens,
                cached_prompt_tokens=response.cost.cached_prompt_tokens,
            )
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
        with span("execute", siblings=len(siblings), steps_before=len(path)) as traced:
            response = await execute_on_path(self._execute, request)
            traced.set(cpu_seconds=response.cpu_seconds, sandbox_version=response.sandbox_version)
        self._meter.sandbox_runs += len(siblings)
        self._meter.sandbox_seconds += response.cpu_seconds
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
        with span("score", siblings=len(siblings)) as traced:
            response = await self._ppm.ask(
                lambda stub, s: stub.Score(request, timeout=s, metadata=self._told())
            )
            traced.set(computed_tokens=response.computed_tokens, ppm_version=response.ppm_version)
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
        with span("judge", answers=len(answers)):
            response = await self._sandbox.ask(
                lambda stub, s: stub.Judge(request, timeout=s, metadata=self._told())
            )
        return [
            wire.VERDICT_FROM.get(judgement.verdict, Verdict.UNDECIDED)
            for judgement in response.judgements
        ]

    async def _execute(self, request: sandbox_pb2.ExecuteRequest) -> sandbox_pb2.ExecuteResponse:
        return await self._sandbox.ask(
            lambda stub, s: stub.Execute(request, timeout=s, metadata=self._told())
        )

    def _told(self) -> tuple[tuple[str, str], ...]:
        # Made anew for every attempt: it names the span that is open then.
        return call_metadata(self._search_id)
