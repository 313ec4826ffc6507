"""The toy world behind real gRPC: policy, ppm and sandbox for searchers in other processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc

from rstar.v1 import (
    policy_pb2,
    policy_pb2_grpc,
    ppm_pb2,
    ppm_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
    types_pb2,
)
from rstar_searcher import wire
from rstar_searcher.model import Expanded
from rstar_searcher.services import Problem, ProposeOptions, ScoredStep
from tests.support.toy_world import ToyWorld


class ToyServers(
    policy_pb2_grpc.PolicyServiceServicer,
    ppm_pb2_grpc.PpmServiceServicer,
    sandbox_pb2_grpc.SandboxServiceServicer,
):
    """All three services, answering from one world."""

    def __init__(self, world: ToyWorld) -> None:
        self.world = world
        self.address = ""
        self.asked: Counter[tuple[str, tuple[str, ...]]] = Counter()
        """How often each prefix of each question was expanded."""

    @property
    def repeated(self) -> int:
        """Expansions that were asked for again."""
        return sum(self.asked.values()) - len(self.asked)

    def environment(self, *, lease_seconds: float, ack_wait_seconds: float) -> dict[str, str]:
        """Settings of a searcher process that is to use this world."""
        return {
            "RSTAR_SEARCHER_POLICY_ADDRESS": self.address,
            "RSTAR_SEARCHER_PPM_ADDRESS": self.address,
            "RSTAR_SEARCHER_SANDBOX_ADDRESS": self.address,
            "RSTAR_SEARCHER_LEASE_SECONDS": str(lease_seconds),
            "RSTAR_SEARCHER_NATS__ACK_WAIT_SECONDS": str(ack_wait_seconds),
        }

    async def Propose(self, request, context):
        path = _path(request.path)
        self.asked[request.question, tuple(step.candidate.text for step in path)] += 1
        candidates = await self.world.propose(
            request.question,
            path,
            ProposeOptions(
                num_candidates=request.num_candidates,
                temperature=request.temperature,
                top_p=request.top_p,
                max_tokens=request.max_tokens,
                seed=request.seed,
            ),
        )
        response = policy_pb2.ProposeResponse(
            candidates=[wire.candidate_to(candidate, "") for candidate in candidates]
        )
        response.cost.generated_tokens = 10 * request.num_candidates
        return response

    async def Score(self, request, context):
        siblings = [ScoredStep(candidate=step.candidate) for step in _path(request.siblings)]
        scores, version = await self.world.score(request.question, _path(request.path), siblings)
        return ppm_pb2.ScoreResponse(scores=scores, ppm_version=version)

    async def Execute(self, request, context):
        outcomes, version = await self.world.execute(
            list(request.path), list(request.siblings), seed=request.seed
        )
        return sandbox_pb2.ExecuteResponse(
            outcomes=[wire.outcome_to(outcome) for outcome in outcomes],
            sandbox_version=version,
            cpu_seconds=0.01 * len(outcomes),
        )

    async def Judge(self, request, context):
        judgements = []
        for pair in request.pairs:
            problem = Problem(question=pair.question, reference=pair.reference)
            [verdict] = await self.world.judge(problem, [pair.answer])
            judgements.append(sandbox_pb2.Judgement(verdict=wire.VERDICTS[verdict]))
        return sandbox_pb2.JudgeResponse(judgements=judgements)


def _path(steps) -> list[Expanded]:
    return [
        Expanded(sample=0, candidate=wire.candidate_from(types_pb2.Candidate(step=step)))
        for step in steps
    ]


ServersT = TypeVar("ServersT", bound=ToyServers)


@asynccontextmanager
async def toy_servers(
    world: ToyWorld, make: Callable[[ToyWorld], ServersT] = ToyServers
) -> AsyncGenerator[ServersT]:
    """Serve a world on a free port."""
    servers = make(world)
    server = grpc.aio.server()
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(servers, server)
    ppm_pb2_grpc.add_PpmServiceServicer_to_server(servers, server)
    sandbox_pb2_grpc.add_SandboxServiceServicer_to_server(servers, server)
    servers.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield servers
    finally:
        await server.stop(grace=0)
