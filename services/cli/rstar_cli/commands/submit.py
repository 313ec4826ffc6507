"""`rstar submit`: a file of problems becomes a batch on the queue."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rstar_cli.commands.batches import watch_batch
from rstar_cli.commands.grouping import grouped
from rstar_cli.commands.options import GenerationOptions, Home, Json, SearchOptions


class WireFormat(StrEnum):
    """How the batch is written on the queue."""

    JSON = "json"
    PROTOBUF = "protobuf"


@grouped
def submit(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="One problem a line.", dir_okay=False)
    ],
    batch_id: Annotated[
        str, typer.Option("--batch", help="Id of the batch; publishing one twice is harmless.")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="Take this many, spread evenly.")] = 0,
    wire_format: Annotated[
        WireFormat, typer.Option("--format", help="JSON, or protobuf bytes.")
    ] = WireFormat.JSON,
    answer_kind: Annotated[
        str, typer.Option(help="Of lines that name none: exact, number, choice, text, latex.")
    ] = "exact",
    *,
    options: SearchOptions,
    generation: GenerationOptions,
    follow: Annotated[bool, typer.Option("--watch", help="Watch it until it has ended.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Publish a file of problems as one batch on the queue; prints the batch's id.

    A line's `answer` stays here unless --with-references is given. A large batch goes through
    the object store.

    Example: rstar submit problems.jsonl --rollouts 16 --watch
    """
    from rstar_cli.output import console, emit_json, run

    work = _submit(
        home,
        file,
        batch_id,
        options,
        generation,
        limit=limit,
        answer_kind=answer_kind,
        wire_format=wire_format,
    )
    batch_id, count, submission = run(work)
    if json:
        emit_json({"batch_id": batch_id, "problems": count})
    else:
        console().print(f"published {count} problems as {batch_id}")
    if follow:
        watch_batch(batch_id, submission=submission, json=json, home=home)
    elif not json:
        console().print(f"follow it with: rstar watch {batch_id}", style="dim")


async def _submit(
    home: Path | None,
    file: Path,
    batch_id: str,
    options: SearchOptions,
    generation: GenerationOptions,
    *,
    limit: int,
    answer_kind: str,
    wire_format: WireFormat,
) -> tuple[str, int, int]:
    """The batch's id, how many problems, and the submission's sequence."""
    from rstar_cli.batch import new_batch_id, publish, submission_of
    from rstar_cli.connection import endpoints
    from rstar_cli.problems import read_problems, read_references
    from rstar_common.errors import InvalidInput
    from rstar_common.nats_roles import tenant_of
    from rstar_common.spread import spread
    from rstar_common.streams import check_name

    if batch_id:
        check_name(batch_id, field="--batch")
    settings = options.to_proto()
    generation.apply(settings)
    problems = spread(read_problems(file, kind=answer_kind), limit)
    references = read_references(file) if generation.with_references else {}
    missing = [p.problem_id for p in problems if p.problem_id not in references]
    if generation.with_references and missing:
        raise InvalidInput(f"{missing[0]} has no answer", field=str(file))
    where = endpoints(home)
    batch_id = batch_id or new_batch_id(file.stem, tenant=tenant_of(where.nats.user))
    batch = submission_of(
        batch_id,
        [problem.to_proto(references.get(problem.problem_id)) for problem in problems],
        settings,
    )
    submission = await publish(where.nats, where.object_store, batch, wire_format=wire_format.value)
    return batch_id, len(problems), submission
