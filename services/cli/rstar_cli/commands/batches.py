"""`rstar watch`, `results`, `batches`, `pause`, `resume`, `cancel`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import BatchId, Home, Json

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from rstar.v1 import searcher_pb2


def watch(batch_id: BatchId, json: Json = False, home: Home = None) -> None:
    """Follow a batch until every problem has a result: progress, rate, time left.

    Ctrl-C ends the watching, not the batch. Exit status 1 when the batch was cancelled.

    Example: rstar watch demo-20260101-120000-ab12
    """
    watch_batch(batch_id, json=json, home=home)


def watch_batch(batch_id: str, *, json: bool, home: Path | None, submission: int = 0) -> None:
    """As `watch`; of a batch just published nothing is told that was refused before."""
    from rstar.v1 import searcher_pb2
    from rstar_cli.output import console, emit_json, run

    try:
        batch = run(_watch(home, batch_id, json, submission))
    except KeyboardInterrupt:
        console(stderr=True).print(f"still running; watch it again with: rstar watch {batch_id}")
        raise
    if not json:
        console().print(f"{batch.done} of {batch.total} done, {batch.dead} dead")
    else:
        emit_json({"finished": True})
    if batch.state == searcher_pb2.BATCH_STATE_CANCELLED:
        raise typer.Exit(1)


async def _watch(
    home: Path | None, batch_id: str, json: bool, submission: int
) -> searcher_pb2.Batch:
    from rstar.v1 import searcher_pb2, searcher_pb2_grpc
    from rstar_cli.batch import follow
    from rstar_cli.connection import endpoints
    from rstar_cli.output import as_json, emit_json
    from rstar_cli.views.batch import BatchProgress

    last = searcher_pb2.Batch()
    async with endpoints(home).dial("searcher") as wire:
        stub = searcher_pb2_grpc.BatchServiceStub(wire)
        with BatchProgress(quiet=json) as progress:
            async for batch in follow(stub, batch_id, submission=submission):
                if json and batch != last:
                    emit_json(as_json(batch))
                last = batch
                progress.show(batch, time.monotonic())
    return last


def results(
    batch_id: BatchId,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write here, not to stdout.")
    ] = None,
    grade_file: Annotated[
        Path | None,
        typer.Option("--grade", help="Compare with the answers of this problem file."),
    ] = None,
    agreed: Annotated[
        int | None,
        typer.Option(min=2, help="A problem file of those whose solutions agree so often."),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Write the results of a batch, one JSON object a line; readable while it runs.

    With --grade the sandbox compares each answer with the file's, now that the searches have
    ended, and a table with totals follows.

    With --agreed the lines are problems with answers, of questions that had none: rStar-Math
    keeps a synthetic problem if 3 of 10 solutions (--strategy majority --rollouts 10) agree.

    Example: rstar results demo-20260101-120000-ab12 -o out.jsonl --grade problems.jsonl

    Example: rstar results written-by-a-model --agreed 3 -o synthetic.jsonl
    """
    from rstar_cli.output import run
    from rstar_common.errors import InvalidInput

    if agreed is None:
        run(_results(home, batch_id, output, grade_file, json))
    elif grade_file:
        raise InvalidInput("problems are not graded: leave out --grade", field="--agreed")
    else:
        run(_agreed(home, batch_id, output, agreed, json))


async def _results(
    home: Path | None, batch_id: str, output: Path | None, grade_file: Path | None, json: bool
) -> None:
    import sys

    from rstar.v1 import searcher_pb2_grpc
    from rstar_cli import batch as batches
    from rstar_cli.connection import endpoints
    from rstar_cli.grading import Grade, grade
    from rstar_cli.output import console, emit_json
    from rstar_cli.problems import read_problems, read_references
    from rstar_cli.report import graded_summary, result_line
    from rstar_cli.views.batch import grade_totals, results_table

    where = endpoints(home)
    async with where.dial("searcher") as wire:
        found = await batches.results(searcher_pb2_grpc.BatchServiceStub(wire), batch_id)
    grades: dict[str, Grade] = {}
    if grade_file:
        problems, references = read_problems(grade_file), read_references(grade_file)
        grades = await grade(where, found, problems, references)
    lines = "".join(result_line(item, grades.get(item.problem_id)) for item in found)
    if output:
        await asyncio.to_thread(output.write_text, lines, encoding="utf-8")
    elif not json:
        sys.stdout.write(lines)
    if json:
        emit_json({"batch_id": batch_id, **graded_summary(found, grades)})
        return
    out = console(stderr=output is None)
    if grade_file:
        out.print(results_table(found, grades))
        out.print(grade_totals(grades))
    if output:
        out.print(f"wrote {len(found)} results to {output}")


async def _agreed(
    home: Path | None, batch_id: str, output: Path | None, least: int, json: bool
) -> None:
    import sys

    from rstar.v1 import searcher_pb2_grpc
    from rstar_cli import batch as batches
    from rstar_cli.connection import endpoints
    from rstar_cli.output import console, emit_json
    from rstar_cli.synthetic import agreed_lines

    async with endpoints(home).dial("searcher") as wire:
        found = await batches.results(searcher_pb2_grpc.BatchServiceStub(wire), batch_id)
        lines = await agreed_lines(searcher_pb2_grpc.SearcherServiceStub(wire), found, least)
    if output:
        await asyncio.to_thread(output.write_text, "".join(lines), encoding="utf-8")
    elif not json:
        sys.stdout.write("".join(lines))
    if json:
        emit_json({"batch_id": batch_id, "problems": len(found), "kept": len(lines)})
    else:
        told = f"{len(lines)} of {len(found)} problems: {least} solutions or more agree"
        console(stderr=output is None).print(told)


def batches(json: Json = False, home: Home = None) -> None:
    """List the batches, newest first.

    Example: rstar batches --json
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.batch import batches_table

    found = run(_batches(home))
    if json:
        emit_json([as_json(batch) for batch in found])
    else:
        console().print(batches_table(found))


async def _batches(home: Path | None) -> list[searcher_pb2.Batch]:
    from rstar.v1 import searcher_pb2, searcher_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    found: list[searcher_pb2.Batch] = []
    page_token = ""
    async with endpoints(home).dial("searcher") as wire:
        stub = searcher_pb2_grpc.BatchServiceStub(wire)
        while True:
            request = searcher_pb2.ListBatchesRequest(page_size=500, page_token=page_token)
            page = await call(stub.ListBatches(request, timeout=30))
            found += page.batches
            page_token = page.next_page_token
            if not page_token:
                return found


def pause(batch_id: BatchId, json: Json = False, home: Home = None) -> None:
    """Begin no new problem of a batch; running searches end normally.

    Example: rstar pause demo-20260101-120000-ab12
    """
    from rstar.v1 import searcher_pb2
    from rstar_cli.output import run

    run(_change(home, "PauseBatch", searcher_pb2.PauseBatchRequest(batch_id=batch_id), json))


def resume(batch_id: BatchId, json: Json = False, home: Home = None) -> None:
    """Go on with a paused batch.

    Example: rstar resume demo-20260101-120000-ab12
    """
    from rstar.v1 import searcher_pb2
    from rstar_cli.output import run

    run(_change(home, "ResumeBatch", searcher_pb2.ResumeBatchRequest(batch_id=batch_id), json))


def cancel(batch_id: BatchId, json: Json = False, home: Home = None) -> None:
    """End a batch; problems not begun get a cancelled result.

    Example: rstar cancel demo-20260101-120000-ab12
    """
    from rstar.v1 import searcher_pb2
    from rstar_cli.output import run

    run(_change(home, "CancelBatch", searcher_pb2.CancelBatchRequest(batch_id=batch_id), json))


async def _change(home: Path | None, method: str, request: Message, json: bool) -> None:
    from rstar.v1 import searcher_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_cli.output import as_json, console, emit_json
    from rstar_cli.views.batch import batches_table
    from rstar_common.rpc import call

    async with endpoints(home).dial("searcher") as wire:
        stub = searcher_pb2_grpc.BatchServiceStub(wire)
        batch = (await call(getattr(stub, method)(request, timeout=30))).batch
    if json:
        emit_json(as_json(batch))
    else:
        console().print(batches_table([batch]))
