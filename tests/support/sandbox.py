"""A client of the sandbox service that reads like what the tests say."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rstar.v1 import sandbox_pb2, sandbox_pb2_grpc, types_pb2
from rstar_common.rpc import call, channel
from rstar_sandbox.usage import cpu_seconds
from tests.support.servers import Service

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


def sandbox_pids(running: Service) -> list[int]:
    """The sandboxed kernels that a service started: descendants, told by their name."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            parents[int(entry.name)] = (int(fields[1]), command)
    found = []
    for pid, (parent, command) in parents.items():
        if b"runsc-sandbox" in command and b"boot" in command:
            while parent in parents and parent != running.process.pid:
                parent = parents[parent][0]
            if parent == running.process.pid:
                found.append(pid)
    return found


async def idle(running: Service, *, seconds: float = 2.0) -> bool:
    """Whether its sandboxes compute next to nothing for a while."""
    before = {pid: cpu_seconds(pid) for pid in sandbox_pids(running)}
    await asyncio.sleep(seconds)  # proving an absence needs a clock
    used = sum(cpu_seconds(pid) - then for pid, then in before.items())
    return bool(before) and used < 0.2 * seconds
