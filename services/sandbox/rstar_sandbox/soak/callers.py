"""Who calls: a few workers with snippets of every temper, then a crowd that marks its values."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import grpc

from rstar.v1 import sandbox_pb2, sandbox_pb2_grpc, types_pb2
from rstar_common.errors import Overloaded, RstarError
from rstar_common.rpc import call
from rstar_sandbox.soak.snippets import Snippet, most_processes, printed, snippet

TIMEOUT_SECONDS = 240.0
IN_FLIGHT = 4
MOST_SIBLINGS = 4
JUDGED_EACH = 4
"""One call in so many of a client asks for verdicts."""

if TYPE_CHECKING:
    from rstar.v1.sandbox_pb2_grpc import SandboxServiceAsyncStub as Stub


class Tally:
    """What came back."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.milliseconds: list[float] = []
        """Of each call that was answered, refusals before it not counted."""

    def check(self, item: Snippet, outcome: types_pb2.ExecutionOutcome) -> None:
        self.counts[item.kind] += 1
        if not item.ended_well(outcome):
            self.wrong.append(f"{item.code!r}: {outcome}")


@asynccontextmanager
async def connection(address: str) -> AsyncGenerator[Stub]:
    """One that is shared with nobody."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield sandbox_pb2_grpc.SandboxServiceStub(channel)


async def snippets(address: str, rng: Random, count: int, tally: Tally) -> None:
    """So many, a few requests at one time, one to four siblings each."""
    left = count

    async def worker(number: int) -> None:
        nonlocal left
        async with connection(address) as stub:
            while left > 0:
                batch = [snippet(rng) for _ in range(min(rng.randint(1, MOST_SIBLINGS), left))]
                left -= len(batch)
                await execute(stub, tally, f"soak-{number}-{left // 40}", (), batch)

    async with asyncio.TaskGroup() as group:
        for number in range(IN_FLIGHT):
            group.create_task(worker(number))


async def fullest(address: str, tally: Tally) -> None:
    """As many processes at once as callers may have, so that no later moment has more."""

    async def worker(number: int) -> None:
        async with connection(address) as stub:
            batch = [most_processes(MOST_SIBLINGS * number + n) for n in range(MOST_SIBLINGS)]
            await execute(stub, tally, f"fullest-{number}", (), batch)

    async with asyncio.TaskGroup() as group:
        for number in range(2 * IN_FLIGHT):
            group.create_task(worker(number))


async def crowd(address: str, count: int, seconds: float, tally: Tally) -> list[int]:
    """Callers at once, each with values that nobody else has; how often each was answered."""
    deadline = time.monotonic() + seconds

    async def client(number: int) -> int:
        turn = 0
        async with connection(address) as stub:
            while time.monotonic() < deadline:
                turn += 1
                if turn % JUDGED_EACH:
                    mark = f"{number}-{turn}"
                    echo = Snippet("client", f"print(m, '{mark}')", printed(f"{mark} {mark}\n"))
                    await execute(stub, tally, f"client-{number}", (f"m = '{mark}'",), [echo])
                else:
                    await judge(stub, tally, number, turn)
        return turn

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client(number)) for number in range(count)]
    return [task.result() for task in clients]


async def execute(
    stub: Stub, tally: Tally, session: str, path: Sequence[str], batch: Sequence[Snippet]
) -> None:
    """A request; asked again for as long as it is refused."""
    request = sandbox_pb2.ExecuteRequest(
        session=session, path=path, siblings=[item.code for item in batch], seed=1
    )
    # Little CPU, so that loops end soon; much time, since a busy machine gives it slowly. gVisor
    # counts what waits for a processor as running, so there even a short step may take a while.
    request.limits.cpu.FromSeconds(1)
    request.limits.wall.FromSeconds(20)
    request.limits.memory_bytes = 2**28
    response = await _answer(stub.Execute, request, tally)
    if response is None or len(response.outcomes) != len(batch):
        tally.wrong.append(f"{session}: {len(batch)} siblings, answered by {response}")
        return
    for item, outcome in zip(batch, response.outcomes, strict=True):
        tally.check(item, outcome)


async def judge(stub: Stub, tally: Tally, number: int, turn: int) -> None:
    """Pairs with the caller's own numbers: one equal, one not."""
    reference = rf"\frac{{{number}}}{{{turn}}} + x"
    pairs = [
        sandbox_pb2.AnswerPair(
            answer=rf"x + {above}/{turn}", reference=reference, kind=types_pb2.ANSWER_KIND_LATEX
        )
        for above in (number, number + 1)
    ]
    response = await _answer(stub.Judge, sandbox_pb2.JudgeRequest(pairs=pairs), tally)
    verdicts = [judgement.verdict for judgement in response.judgements] if response else []
    tally.counts["judged"] += len(verdicts)
    if verdicts != [types_pb2.VERDICT_EQUAL, types_pb2.VERDICT_UNEQUAL]:
        tally.wrong.append(f"{reference}: judged {response}")


async def _answer(method: Any, request: Any, tally: Tally) -> Any:
    while True:
        started = time.monotonic()
        try:
            response = await call(method(request, timeout=TIMEOUT_SECONDS))
        except Overloaded as error:
            tally.counts["refused"] += 1
            await asyncio.sleep(error.retry_after_seconds)
        except RstarError as error:
            tally.wrong.append(f"lost: {error!r}")
            return None
        else:
            tally.milliseconds.append((time.monotonic() - started) * 1000)
            return response
