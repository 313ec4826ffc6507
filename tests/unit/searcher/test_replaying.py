"""What a searcher makes of a path that ran before and fails now."""

from __future__ import annotations

import pytest

from rstar.v1 import sandbox_pb2, types_pb2
from rstar_common.errors import InvalidInput, Unavailable
from rstar_searcher.replaying import execute_on_path

FINE = types_pb2.ExecutionOutcome(stdout="2\n")
TOO_SLOW = types_pb2.ExecutionOutcome(limit=types_pb2.LIMIT_KIND_WALL)
RAISED = types_pb2.ExecutionOutcome(exception=types_pb2.RaisedException(type="KeyError"))


class Sandbox:
    """Gives ready answers, a second of processor time each; remembers the clocks asked for."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.clocks: list[float] = []

    async def execute(self, request):
        self.clocks.append(request.limits.wall.ToMilliseconds() / 1000)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return sandbox_pb2.ExecuteResponse(
            outcomes=[answer] * len(request.siblings), cpu_seconds=1.0, path_failed=answer != FINE
        )


def request() -> sandbox_pb2.ExecuteRequest:
    return sandbox_pb2.ExecuteRequest(path=["x = 1"], siblings=["x += 1", "x += 2"])


def refused(field: str) -> InvalidInput:
    return InvalidInput("must be in (0, 10.0]", field=field)


async def test_a_path_that_runs_is_run_once():
    sandbox = Sandbox(FINE)
    response = await execute_on_path(sandbox.execute, request())
    assert (list(response.outcomes), sandbox.clocks) == ([FINE, FINE], [0])


async def test_a_path_that_hits_the_clock_of_a_busy_sandbox_gets_a_longer_one():
    sandbox = Sandbox(TOO_SLOW, TOO_SLOW, FINE)
    response = await execute_on_path(sandbox.execute, request())
    assert sandbox.clocks == [0, 20, 60]
    assert list(response.outcomes) == [FINE, FINE]
    assert response.cpu_seconds == 3.0


async def test_a_path_that_hits_every_clock_is_no_knowledge():
    sandbox = Sandbox(TOO_SLOW, TOO_SLOW, TOO_SLOW)
    with pytest.raises(Unavailable):
        await execute_on_path(sandbox.execute, request())


async def test_below_a_path_that_cannot_be_repeated_nothing_is_valid():
    sandbox = Sandbox(RAISED, RAISED, RAISED)
    response = await execute_on_path(sandbox.execute, request())
    assert list(response.outcomes) == [RAISED, RAISED]


async def test_a_sandbox_that_allows_no_longer_clock_is_not_the_callers_mistake():
    with pytest.raises(Unavailable):
        await execute_on_path(Sandbox(TOO_SLOW, refused("limits.wall_seconds")).execute, request())
    with pytest.raises(InvalidInput):
        await execute_on_path(Sandbox(TOO_SLOW, refused("siblings")).execute, request())
