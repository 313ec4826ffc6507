"""What the commands of `rstar evolve` share: the service, the problem sets, following a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from rstar.v1 import evolution_pb2, evolution_pb2_grpc
from rstar_cli.connection import endpoints
from rstar_cli.local.checkout import resource
from rstar_cli.problem_forms import ProblemLines, read_form
from rstar_cli.recipe import RecipeFile, digest
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import InvalidInput
from rstar_common.questions import check_apart
from rstar_common.recipe_checks import check_recipe
from rstar_common.rpc import call


async def all_runs(home: Path | None) -> list[evolution_pb2.Run]:
    """Every run there is, oldest first."""
    found: list[evolution_pb2.Run] = []
    request = evolution_pb2.ListRunsRequest(page_size=100)
    async with evolution_stub(home) as stub:
        while True:
            page = await call(stub.ListRuns(request, timeout=30))
            found += page.runs
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSet:
    """A problem set of a recipe, read and not yet stored."""

    name: str
    key: str
    lines: ProblemLines

    def questions(self) -> list[str]:
        """What it asks."""
        return [json.loads(line)["question"] for line in self.lines.data.splitlines()]


def read_sets(file: RecipeFile) -> list[ProblemSet]:
    """Check a recipe and read its problem sets; from then on it says where each will be stored.

    All are read before the first is stored: a recipe with one faulty file leaves nothing behind.

    Raises:
        InvalidInput: naming the line of the recipe.
        Unavailable: a file is Parquet, and pyarrow is not installed.
    """
    recipe = file.recipe
    try:
        check_recipe(recipe, has_policy=True)  # if none is promoted, the trainer says so
        pools = [
            _read(pool, file.path, f"pools[{index}]") for index, pool in enumerate(recipe.pools)
        ]
        sets = [
            _read(one, file.path, f"evaluation_sets[{index}]")
            for index, one in enumerate(recipe.evaluation_sets)
        ]
        check_apart(
            recipe,
            {one.name: one.questions() for one in pools},
            {one.name: one.questions() for one in sets},
        )
    except InvalidInput as error:
        raise file.located(error) from error
    return [*pools, *sets]


def _read(
    one: evolution_pb2.ProblemPool | evolution_pb2.EvaluationSet, recipe: Path, where: str
) -> ProblemSet:
    try:
        path = find(one.path, beside=recipe)
    except OSError as error:
        raise InvalidInput(f"cannot read: {error.strerror}", field=f"{where}.path") from error
    if path is None:
        raise InvalidInput(f"no file {one.path!r}", field=f"{where}.path")
    only = one.only if isinstance(one, evolution_pb2.ProblemPool) else ()
    for index, each in enumerate(only):
        for name in ("label", "values"):
            if not getattr(each, name):
                raise InvalidInput("is missing", field=f"{where}.only[{index}].{name}")
    try:
        lines = read_form(
            path,
            form=one.form,
            kind=one.answer_kind,
            name=one.name,
            only={each.label: frozenset(each.values) for each in only},
        )
    except InvalidInput as error:
        if error.field in ("form", "answer_kind", "only"):
            message = str(error).removeprefix(f"{error.field}: ")
            raise InvalidInput(message, field=f"{where}.{error.field}") from error
        raise InvalidInput(str(error), field=f"{where}.path") from error
    one.problems_key = f"evolution/problems/{digest(lines.data)}.jsonl"
    return ProblemSet(name=one.name, key=one.problems_key, lines=lines)


async def upload(sets: Sequence[ProblemSet], store: ObjectStore) -> None:
    """Put the problem sets of a recipe into the store."""
    for one in sets:
        await store.put(one.key, one.lines.data)


def left_out(sets: Sequence[ProblemSet]) -> list[str]:
    """What the files hold and the problem sets do not, for people."""
    told: list[str] = []
    for one in sets:
        if one.lines.left_out:
            told.append(
                f"{one.name}: {one.lines.left_out} problems without an answer that can be told "
                "are left out"
            )
        if one.lines.others:
            told.append(f"{one.name}: {one.lines.others} problems have other labels than asked for")
        if one.lines.repeated:
            told.append(f"{one.name}: {one.lines.repeated} repeated questions are taken once")
    return told


def not_applied(recipe: evolution_pb2.Recipe, started_with: Mapping[str, str]) -> list[str]:
    """What a recipe sets for its services, where these were started with something else."""
    asked = recipe.resources.environment
    return [
        f"{name}={asked[name]}" for name in sorted(asked) if started_with.get(name) != asked[name]
    ]


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
