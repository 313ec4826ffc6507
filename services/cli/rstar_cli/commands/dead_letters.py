"""`rstar dead-letters`: what was refused or given up, why, and the way back to work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar.v1 import searcher_pb2


def dead_letters(
    batch_id: Annotated[str, typer.Argument(metavar="[BATCH]", help="Of one batch only.")] = "",
    retry: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Put this one back to work; repeatable.")
    ] = None,
    retry_all: Annotated[
        bool, typer.Option("--retry-all", help="Put every retryable one of BATCH back to work.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """List messages that will not be worked on, with the reason; or retry them.

    Example: rstar dead-letters demo-20260101-120000-ab12 --retry-all
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.batch import dead_letters_table
    from rstar_common.errors import InvalidInput

    if retry_all and not batch_id:
        raise InvalidInput("needs a BATCH", field="--retry-all")
    if retry or retry_all:
        reply = run(_retry(home, retry or [], batch_id if retry_all else ""))
        if json:
            emit_json(as_json(reply))
        else:
            refused = f"; refused: {', '.join(reply.refused_ids)}" if reply.refused_ids else ""
            console().print(f"{reply.retried} back to work{refused}")
        if reply.refused_ids:
            raise typer.Exit(1)
        return
    letters = run(_list(home, batch_id))
    if json:
        emit_json([as_json(letter) for letter in letters])
    elif letters:
        console().print(dead_letters_table(letters))
    else:
        console().print("no dead letters")


async def _list(home: Path | None, batch_id: str) -> list[searcher_pb2.DeadLetter]:
    from rstar.v1 import searcher_pb2, searcher_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    found: list[searcher_pb2.DeadLetter] = []
    page_token = ""
    async with endpoints(home).dial("searcher") as wire:
        stub = searcher_pb2_grpc.BatchServiceStub(wire)
        while True:
            request = searcher_pb2.ListDeadLettersRequest(
                batch_id=batch_id, page_size=500, page_token=page_token
            )
            page = await call(stub.ListDeadLetters(request, timeout=30))
            found += page.dead_letters
            page_token = page.next_page_token
            if not page_token:
                return found


async def _retry(
    home: Path | None, ids: list[str], batch_id: str
) -> searcher_pb2.RetryDeadLettersResponse:
    from rstar.v1 import searcher_pb2, searcher_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    request = searcher_pb2.RetryDeadLettersRequest(dead_letter_ids=ids, batch_id=batch_id)
    async with endpoints(home).dial("searcher") as wire:
        stub = searcher_pb2_grpc.BatchServiceStub(wire)
        return await call(stub.RetryDeadLetters(request, timeout=30))
