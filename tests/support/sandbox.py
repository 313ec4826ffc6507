"""A client of the sandbox service that reads like what the tests say."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from rstar.v1 import sandbox_pb2, sandbox_pb2_grpc, types_pb2
from rstar_common.rpc import call, channel

_sessions = itertools.count(1)


class SandboxClient:
    """Runs code in a session of its own."""

    def __init__(self, stub: sandbox_pb2_grpc.SandboxServiceAsyncStub) -> None:
        self.stub = stub
        self.session = f"test-{next(_sessions)}"

    async def execute(
        self,
        siblings: Sequence[str],
        *,
        path: Sequence[str] = (),
        session: str = "",
        seed: int = 0,
        **limits: float,
    ) -> sandbox_pb2.ExecuteResponse:
        """The whole response; limits are `wall` and `cpu` in seconds, the others as on the wire."""
        request = sandbox_pb2.ExecuteRequest(
            session=session or self.session, path=path, siblings=siblings, seed=seed
        )
        for name, value in limits.items():
            if name in ("wall", "cpu"):
                getattr(request.limits, name).FromMilliseconds(int(value * 1000))
            else:
                setattr(request.limits, name, int(value))
        return await call(self.stub.Execute(request))

    async def run(
        self, code: str, *, path: Sequence[str] = (), session: str = "", **limits: float
    ) -> types_pb2.ExecutionOutcome:
        """One step's outcome."""
        response = await self.execute([code], path=path, session=session, seed=0, **limits)
        [outcome] = response.outcomes
        return outcome

    async def printed(self, code: str, *, path: Sequence[str] = (), session: str = "") -> str:
        """What a valid step printed."""
        outcome = await self.run(code, path=path, session=session)
        assert not outcome.HasField("exception"), outcome
        assert outcome.limit == types_pb2.LIMIT_KIND_UNSPECIFIED, outcome
        return outcome.stdout

    async def judge(
        self, answer: str, reference: str, kind: types_pb2.AnswerKind.ValueType
    ) -> sandbox_pb2.Judgement:
        """One pair's judgement."""
        pair = sandbox_pb2.AnswerPair(answer=answer, reference=reference, kind=kind)
        response = await call(self.stub.Judge(sandbox_pb2.JudgeRequest(pairs=[pair])))
        [judgement] = response.judgements
        return judgement


@asynccontextmanager
async def sandbox_client(address: str) -> AsyncGenerator[SandboxClient]:
    """A client with a channel and a session of its own."""
    async with channel(address) as connection:
        yield SandboxClient(sandbox_pb2_grpc.SandboxServiceStub(connection))
