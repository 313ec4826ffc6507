"""`rstar report RUN`: tables and plots of a run of self-evolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home

if TYPE_CHECKING:
    from rstar.v1 import evolution_pb2
    from rstar_cli.runpage.page import Curves
    from rstar_cli.runpage.problem_sets import ProblemLabels
    from rstar_common.artifacts import ObjectStore


def report(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")],
    output: Annotated[
        Path, typer.Option("-o", "--out", "--output", help="Directory to write into.")
    ] = Path("report"),
    home: Home = None,
) -> None:
    """Write a run's report: README.md with plots beside it, index.html with them inside, run.json.

    It may be written while the run goes on.

    Example: rstar report smoke -o /tmp/smoke-report
    """
    from rstar_cli.output import console, run

    write_report(*run(_read(home, run_id)), output)
    console().print(f"wrote README.md, index.html and run.json into {output}")


def write_report(
    run: evolution_pb2.Run, curves: Curves, known: ProblemLabels, output: Path
) -> None:
    """A run's report as files of a directory."""
    import json

    from rstar_cli.output import as_json
    from rstar_cli.runpage.page import report_of

    made = report_of(run, curves, known)
    output.mkdir(parents=True, exist_ok=True)
    (output / "README.md").write_text(made.markdown)
    (output / "index.html").write_text(made.html)
    (output / "run.json").write_text(json.dumps(as_json(run), indent=1, sort_keys=True) + "\n")
    for name, svg in made.charts.items():
        (output / name).write_text(svg)


async def _read(home: Path | None, run_id: str) -> tuple[evolution_pb2.Run, Curves, ProblemLabels]:
    from rstar.v1 import evolution_pb2, evolution_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.artifacts import ObjectStore
    from rstar_common.rpc import call

    where = endpoints(home)
    async with where.dial("trainer") as wire:
        stub = evolution_pb2_grpc.EvolutionServiceStub(wire)
        request = evolution_pb2.GetRunRequest(run_id=run_id)
        run = (await call(stub.GetRun(request, timeout=30))).run
    store = ObjectStore(where.object_store)
    return run, await _curves(store, run), await read_labels(store, run)


async def _curves(store: ObjectStore, run: evolution_pb2.Run) -> Curves:
    import json

    from rstar_common.artifacts import dataset_key
    from rstar_common.errors import NotFound

    curves: dict[str, list[tuple[float, float]]] = {}
    for made in run.rounds:
        for name, version in (("policy", made.policy_version), ("ppm", made.ppm_version)):
            if not version:  # not trained yet
                continue
            try:
                lines = (await store.get(dataset_key(version, "curve.jsonl"))).splitlines()
            except NotFound:
                continue
            points = [json.loads(line) for line in lines]
            curves[f"{name} r{made.round}"] = [(one["step"], one["loss"]) for one in points]
    return curves


async def read_labels(store: ObjectStore, run: evolution_pb2.Run) -> ProblemLabels:
    """Labels of a run's problems, of those that are still there."""
    from rstar_cli.runpage.problem_sets import (
        ProblemLabels,
        labels_of,
        levels_of,
        searched_levels,
    )
    from rstar_common.errors import NotFound

    async def lines(key: str) -> bytes:
        try:
            return await store.get(key)
        except NotFound:
            return b""

    sets = {}
    for one in run.recipe.evaluation_sets:
        if found := labels_of(await lines(one.problems_key)):
            sets[one.name] = found
    levels: dict[str, str] = {}
    for pool in run.recipe.pools:
        levels |= levels_of(await lines(pool.problems_key))
    searched = {}
    for made in run.rounds:
        if made.problems_key and levels:
            ids = (await lines(made.problems_key)).decode().splitlines()
            searched[made.round] = searched_levels(ids, levels)
    return ProblemLabels(sets, searched)
