"""`rstar evolve RECIPE`: begin a run of self-evolution and watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rstar_cli.commands import runs
from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar.v1 import evolution_pb2, evolution_pb2_grpc
    from rstar_cli.evolution import ProblemSet
    from rstar_cli.recipe import RecipeFile


class RecipeFirst(TyperGroup):
    """`rstar evolve FILE` means `rstar evolve run FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before arguments that name no command of the group."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def app() -> typer.Typer:
    """The `evolve` group."""
    group = typer.Typer(
        help="Rounds of search, training and evaluation, as a recipe says: rstar evolve RECIPE.",
        no_args_is_help=True,
        cls=RecipeFirst,
    )
    group.command("run")(evolve)
    group.command("resume")(resume)
    group.command("status")(runs.status)
    group.command("list")(runs.list_runs)
    group.command("cancel")(runs.cancel)
    group.command("export")(runs.export)
    group.command("import")(runs.import_run)
    return group


def evolve(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", dir_okay=False)],
    run: Annotated[
        str,
        typer.Option(
            "--run",
            help="Id of the run; one that exists goes on.",
            show_default="the recipe's name",
        ),
    ] = "",
    rounds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Only the first so many rounds; 0: all. The same command with more goes on there.",
        ),
    ] = 0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check everything and say what it would cost; begin no run. The problem sets are "
            "stored for it, and --up starts the stack.",
        ),
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not watch the run.")] = False,
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential",
            help="One rollout at a time and, with --up, one problem at a time: the same run again "
            "gives the same models.",
        ),
    ] = False,
    branch: Annotated[
        str,
        typer.Option(
            "--branch",
            metavar="RUN:ROUND",
            help="Take over what another run searched up to this round, and train anew from there.",
        ),
    ] = "",
    up: Annotated[
        bool,
        typer.Option("--up", help="Start the stack first, with the recipe's settings."),
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Begin a run of self-evolution and watch it; one that is interrupted goes on by itself.

    Example: rstar evolve infra/recipes/smoke.toml --dry-run
    """
    from rstar_cli.evolution import parse_branch, read_sets
    from rstar_cli.output import run as carry_out
    from rstar_cli.recipe import read_recipe
    from rstar_common.errors import InvalidInput

    file = read_recipe(recipe)
    point = parse_branch(branch) if branch else None
    if rounds:
        del file.recipe.rounds[rounds:]
    file.recipe.sequential |= sequential
    sets = read_sets(file)  # what the files alone show to be wrong needs no stack to be refused
    if up:
        _start_stack(home, file)
    else:
        _tell_not_applied(home, file.recipe)
    run_id = run or file.recipe.name
    try:
        carry_out(
            _evolve(home, file, sets, run_id, point, dry_run=dry_run, detach=detach, json=json)
        )
    except InvalidInput as error:
        raise file.located(error) from error


def resume(
    run_id: runs.RunId,
    detach: Annotated[bool, typer.Option("--detach", help="Do not watch the run.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Let a run that failed go on from the phase it failed in; watch one that is under way.

    Example: rstar evolve resume smoke
    """
    from rstar_cli.output import run as carry_out

    carry_out(_resume(home, run_id, detach=detach, json=json))


async def _resume(home: Path | None, run_id: str, *, detach: bool, json: bool) -> None:
    from rstar.v1 import evolution_pb2
    from rstar_cli.evolution import evolution_stub
    from rstar_cli.output import as_json, console, emit_json
    from rstar_common.errors import Conflict
    from rstar_common.rpc import call

    async with evolution_stub(home) as stub:
        found = (
            await call(stub.GetRun(evolution_pb2.GetRunRequest(run_id=run_id), timeout=30))
        ).run
        if found.state == evolution_pb2.RUN_STATE_CANCELLED:
            raise Conflict(
                f"run {run_id} was cancelled; begin another: rstar evolve FILE --run NAME"
            )
        request = evolution_pb2.StartRunRequest(run_id=run_id, recipe=found.recipe)
        found = (await call(stub.StartRun(request, timeout=300))).run
        if not detach:
            await _watch(stub, run_id, json=json)
        elif json:
            emit_json(as_json(found))
        else:
            console().print(f"run {run_id}; see it with: rstar evolve status {run_id}")


def _start_stack(home: Path | None, file: RecipeFile) -> None:
    """`rstar up` without the bundled models, with the environment the recipe asks for."""
    import os

    from rstar_cli.commands.stack import bring_up
    from rstar_cli.local.checkout import resource
    from rstar_cli.local.stack import START_SECONDS
    from rstar_cli.local.state import NO_SEEDS, StackOptions, resolved_home
    from rstar_cli.output import run

    environment = dict(file.recipe.resources.environment)
    if file.recipe.sequential:
        environment["RSTAR_SEARCHER_MAX_BATCH_SEARCHES"] = "1"
    os.environ.update(environment)
    config = resource("infra/config")
    options = StackOptions(
        seed_models=NO_SEEDS,
        config_dir=str(config.resolve()) if config else "",
        environment=environment,
    )
    run(bring_up(resolved_home(home), options, START_SECONDS, json=False))


def _tell_not_applied(home: Path | None, recipe: evolution_pb2.Recipe) -> None:
    """Say what the recipe sets and the local stack was not started with, or from this shell.

    Of services elsewhere nobody here knows.
    """
    import os

    from rstar_cli.connection import endpoints
    from rstar_cli.evolution import not_applied
    from rstar_cli.local.state import load, resolved_home
    from rstar_cli.output import console

    state = None if endpoints(home).is_remote else load(resolved_home(home))
    if state is None:
        return
    if missing := not_applied(recipe, {**os.environ, **state.options.environment}):
        console(stderr=True).print(
            f"the recipe sets {', '.join(missing)}; as far as is known here the services were not "
            "started so, and what is measured may differ (rstar down, then --up)",
            highlight=False,
        )


async def _evolve(
    home: Path | None,
    file: RecipeFile,
    sets: Sequence[ProblemSet],
    run_id: str,
    branch: evolution_pb2.Branch | None,
    *,
    dry_run: bool,
    detach: bool,
    json: bool,
) -> None:
    from rstar.v1 import evolution_pb2
    from rstar_cli.connection import endpoints
    from rstar_cli.evolution import evolution_stub, left_out, upload
    from rstar_cli.output import as_json, console, emit_json
    from rstar_cli.runpage.cells import contaminated_kinds
    from rstar_cli.views.evolution import plan_table
    from rstar_common.artifacts import ObjectStore
    from rstar_common.rpc import call

    await upload(sets, ObjectStore(endpoints(home).object_store))
    async with evolution_stub(home) as stub:
        request = evolution_pb2.StartRunRequest(
            run_id=run_id, recipe=file.recipe, dry_run=dry_run, branch=branch
        )
        reply = await call(stub.StartRun(request, timeout=300))
        if json and (dry_run or detach):
            emit_json(as_json(reply))
        elif not json:
            out = console(stderr=not dry_run)
            for line in left_out(sets):
                out.print(line)
            if count := contaminated_kinds(reply.run).total():
                out.print(
                    f"{count} training problems resemble evaluation problems and are left out"
                )
            if dry_run:
                out.print(plan_table(reply.plan))
                if not file.recipe.candidates_apart:
                    out.print(
                        "Unless the trainer has a channel for candidates, they are what everybody "
                        "is served while the run lasts."
                    )
            elif detach:
                console().print(f"run {run_id}; see it with: rstar evolve status {run_id}")
        if dry_run or detach:
            return
        await _watch(stub, run_id, json=json)


async def _watch(
    stub: evolution_pb2_grpc.EvolutionServiceAsyncStub, run_id: str, *, json: bool
) -> None:
    from rstar.v1 import evolution_pb2
    from rstar_cli.evolution import runs_as_they_change
    from rstar_cli.output import as_json, console, emit_json
    from rstar_cli.views.evolution import RunProgress, rounds_table, state_of

    run = evolution_pb2.Run()
    try:
        with RunProgress(quiet=json) as progress:
            async for run in runs_as_they_change(stub, run_id):
                progress.show(run)
                if json:
                    emit_json(as_json(run))
    except asyncio.CancelledError:
        console(stderr=True).print(f"\nstill running; end it with: rstar evolve cancel {run_id}")
        raise
    if not json:
        console().print(rounds_table(run))
        console().print(f"{run_id}: {run.failure.message or state_of(run)}")
    if run.state != evolution_pb2.RUN_STATE_SUCCEEDED:
        raise typer.Exit(1)
