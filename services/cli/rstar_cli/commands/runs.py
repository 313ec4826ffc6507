"""`rstar evolve status|list|cancel|export|import`: the runs there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rstar.v1 import evolution_pb2

CANCEL_SECONDS = 300.0
"""Searches and trainings are ended one after another."""

IMPORT_SECONDS = 6 * 3600.0
"""Real models are tens of gigabytes, and each is written twice."""

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


def status(run_id: RunId, json: Json = False, home: Home = None) -> None:
    """Show how far a run is.

    Example: rstar evolve status smoke --json
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.evolution import rounds_table, runs_table

    found = run(_get(home, run_id))
    if json:
        emit_json(as_json(found))
    else:
        console().print(runs_table([found]))
        console().print(rounds_table(found))


async def _get(home: Path | None, run_id: str) -> evolution_pb2.Run:
    from rstar.v1 import evolution_pb2
    from rstar_cli.evolution import evolution_stub
    from rstar_common.rpc import call

    async with evolution_stub(home) as stub:
        return (await call(stub.GetRun(evolution_pb2.GetRunRequest(run_id=run_id), timeout=30))).run


def list_runs(json: Json = False, home: Home = None) -> None:
    """List the runs.

    Example: rstar evolve list
    """
    from rstar_cli.evolution import all_runs
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.evolution import runs_table

    found = run(all_runs(home))
    if json:
        emit_json([as_json(one) for one in found])
    else:
        console().print(runs_table(found))


def cancel(run_id: RunId, json: Json = False, home: Home = None) -> None:
    """End a run; what it made stays.

    Example: rstar evolve cancel smoke
    """
    from rstar_cli.output import as_json, console, emit_json, run

    found = run(_cancel(home, run_id))
    if json:
        emit_json(as_json(found))
    else:
        console().print(f"{run_id} is cancelled")


async def _cancel(home: Path | None, run_id: str) -> evolution_pb2.Run:
    from rstar.v1 import evolution_pb2
    from rstar_cli.evolution import evolution_stub
    from rstar_common.rpc import call

    async with evolution_stub(home) as stub:
        request = evolution_pb2.CancelRunRequest(run_id=run_id)
        return (await call(stub.CancelRun(request, timeout=CANCEL_SECONDS))).run


def export(
    run_id: RunId,
    output: Annotated[
        Path,
        typer.Option("-o", "--out", "--output", dir_okay=False, help="Archive to write."),
    ],
    json: Json = False,
    home: Home = None,
) -> None:
    """Write everything of a run into one tar archive, compressed if its name ends in .xz.

    Of one that is under way, what it had done when its phase began; elsewhere `rstar evolve resume`
    goes on from there. Here it goes on as well.

    Example: rstar evolve export smoke -o smoke.tar.xz
    """
    from rstar_cli.output import console, emit_json, run

    run(_export(home, run_id, output))
    size = output.stat().st_size
    if json:
        emit_json({"run_id": run_id, "archive": str(output), "bytes": size})
    else:
        console().print(f"wrote {size:,} bytes to {output}")


async def _export(home: Path | None, run_id: str, output: Path) -> None:
    import asyncio
    import lzma

    from rstar.v1 import evolution_pb2
    from rstar_cli.evolution import evolution_stub

    staging = output.with_name(output.name + ".part")
    opened = lzma.open if output.suffix == ".xz" else Path.open
    try:
        async with evolution_stub(home) as stub:
            with opened(staging, "wb") as file:
                request = evolution_pb2.ExportRunRequest(run_id=run_id)
                async for reply in stub.ExportRun(request):
                    await asyncio.to_thread(file.write, reply.chunk)
        staging.replace(output)
    finally:
        staging.unlink(missing_ok=True)


def import_run(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE.tar[.xz]", dir_okay=False)],
    json: Json = False,
    home: Home = None,
) -> None:
    """Take in a run that was exported elsewhere.

    Example: rstar evolve import smoke.tar.xz
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_common.errors import InvalidInput

    if not archive.is_file():
        raise InvalidInput("no such file", field=str(archive))
    found = run(_import(home, archive))
    if json:
        emit_json(as_json(found))
    else:
        console().print(f"imported {found.run_id}; see it with: rstar evolve status {found.run_id}")


async def _import(home: Path | None, archive: Path) -> evolution_pb2.Run:
    import asyncio
    import contextlib
    import lzma

    from rstar.v1 import evolution_pb2
    from rstar_cli.evolution import evolution_stub
    from rstar_common.rpc import call

    opened = lzma.open if archive.suffix == ".xz" else Path.open

    async def chunks() -> AsyncIterator[evolution_pb2.ImportRunRequest]:
        # What cannot be decompressed further is a part of an archive, which the trainer refuses.
        with opened(archive, "rb") as file, contextlib.suppress(EOFError, lzma.LZMAError):
            while chunk := await asyncio.to_thread(file.read, 2**20):
                yield evolution_pb2.ImportRunRequest(chunk=chunk)

    async with evolution_stub(home) as stub:
        return (await call(stub.ImportRun(chunks(), timeout=IMPORT_SECONDS))).run
