"""What the commands of `rstar evolve` share: the service, the problem sets, following a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from rstar.v1 import evolution_pb2, evolution_pb2_grpc
from rstar_cli.connection import endpoints
from rstar_cli.local.checkout import resource
from rstar_cli.problem_forms import read_form
from rstar_cli.recipe import RecipeFile, digest
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import InvalidInput


async def runs_as_they_change(
    stub: evolution_pb2_grpc.EvolutionServiceAsyncStub, run_id: str
) -> AsyncIterator[evolution_pb2.Run]:
    """The run whenever it changes, until it ends; a trainer that restarts is waited for."""
    failures = 0
    while True:
        try:
            async for reply in stub.WatchRun(evolution_pb2.WatchRunRequest(run_id=run_id)):
                failures = 0
                yield reply.run
            return
        except grpc.aio.AioRpcError as error:
            failures += 1
            if error.code() is not grpc.StatusCode.UNAVAILABLE or failures > MOST_FAILURES:
                raise
            # The channel reconnects by itself; there is no event to wait on.
            await asyncio.sleep(1.0)


MOST_FAILURES = 60
"""Attempts, a second apart, to reach a trainer that went away."""


MOST_DIGITS = 4
"""Of a round's number."""


def parse_branch(text: str) -> evolution_pb2.Branch:
    """`RUN:ROUND`. Raises `InvalidInput`."""
    run_id, _, number = text.rpartition(":")
    if not run_id or not number.isdecimal() or len(number) > MOST_DIGITS:
        raise InvalidInput(f"expected RUN:ROUND, such as mini:0, not {text!r}", field="--branch")
    return evolution_pb2.Branch(run_id=run_id, round=int(number))


async def upload(file: RecipeFile, store: ObjectStore) -> list[str]:
    """Put the problem sets of a recipe into the store; returns what was left out, for people."""
    left_out: list[str] = []
    sets: list[tuple[str, evolution_pb2.ProblemPool | evolution_pb2.EvaluationSet]] = [
        *((f"pools[{i}]", pool) for i, pool in enumerate(file.recipe.pools)),
        *((f"evaluation_sets[{i}]", one) for i, one in enumerate(file.recipe.evaluation_sets)),
    ]
    for where, one in sets:
        path = find(one.path, beside=file.path)
        if path is None:
            raise InvalidInput(f"no file {one.path!r}", field=f"{where}.path")
        try:
            found = read_form(path, form=one.form, kind=one.answer_kind, name=one.name)
        except InvalidInput as error:
            if error.field in ("form", "answer_kind"):
                message = str(error).removeprefix(f"{error.field}: ")
                raise InvalidInput(message, field=f"{where}.{error.field}") from error
            raise
        one.problems_key = f"evolution/problems/{digest(found.data)}.jsonl"
        await store.put(one.problems_key, found.data)
        if found.left_out:
            left_out.append(
                f"{one.name}: {found.left_out} problems without an answer that can be told are "
                "left out"
            )
        if found.repeated:
            left_out.append(f"{one.name}: {found.repeated} repeated questions are taken once")
    return left_out


def find(name: str, *, beside: Path) -> Path | None:
    """A file a recipe names: beside it, from here, or in the checkout."""
    if not name:
        return None
    for path in (beside.parent / name, Path(name), resource(name)):
        if path is not None and path.is_file():
            return path
    return None


@asynccontextmanager
async def evolution_stub(
    home: Path | None,
) -> AsyncGenerator[evolution_pb2_grpc.EvolutionServiceAsyncStub]:
    """The trainer, asked about runs."""
    async with endpoints(home).dial("trainer") as wire:
        yield evolution_pb2_grpc.EvolutionServiceStub(wire)
