"""A path that ran before and fails now: what is the sandbox's trouble, and what is the path's.

A sandbox that no longer holds the state after a path runs the path again, and on a busy
machine it may hit the clock. That is no knowledge about the path: it is run again with a longer
clock, and if that does not help either, the search is left to be gone on with later. A path
that raises each time is not reproducible: by the reference semantics (its code, from the
start, in a fresh interpreter) nothing below it is valid, and that is what its siblings are told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rstar.v1 import sandbox_pb2
from rstar_common.errors import InvalidInput, Unavailable

LONGER_SECONDS = (20.0, 60.0)
"""Clocks of the second and third try; the sandbox allows 5 s by default and 60 s at most."""

Execute = Callable[[sandbox_pb2.ExecuteRequest], Awaitable[sandbox_pb2.ExecuteResponse]]


async def execute_on_path(
    execute: Execute, request: sandbox_pb2.ExecuteRequest
) -> sandbox_pb2.ExecuteResponse:
    """Run siblings; `cpu_seconds` of the response is what all tries together took.

    Raises:
        Unavailable: the path hits its limits whatever the clock, or the answer is no answer.
    """
    response = await execute(request)
    cpu_seconds = response.cpu_seconds
    for seconds in LONGER_SECONDS:
        if not response.path_failed:
            break
        # Other limits are another state to the sandbox: the path starts from a fresh interpreter.
        request.limits.wall.FromMilliseconds(int(1000 * seconds))
        request.limits.cpu.FromMilliseconds(int(1000 * seconds))
        try:
            response = await execute(request)
        except InvalidInput as error:
            if not error.field.startswith("limits"):
                raise
            break  # this sandbox allows no longer clock
        cpu_seconds += response.cpu_seconds
    if len(response.outcomes) != len(request.siblings):
        raise Unavailable("sandbox: as many outcomes as siblings are wanted")
    if response.path_failed and any(outcome.limit for outcome in response.outcomes):
        raise Unavailable("sandbox: the path ran before and hits a limit now")
    response.cpu_seconds = cpu_seconds
    return response
