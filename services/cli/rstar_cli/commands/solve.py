"""`rstar solve`: one problem, live."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.grouping import grouped
from rstar_cli.commands.options import Home, Json, SearchOptions

if TYPE_CHECKING:
    from rstar.v1 import searcher_pb2_grpc, tree_pb2
    from rstar_cli.views.search import SearchView

DEADLINE_SLACK_SECONDS = 15.0
"""A search that ends by its wall time still has to select, store and answer."""


@grouped
def solve(
    question: Annotated[str, typer.Argument(help="The problem, in plain text or LaTeX.")],
    *,
    options: SearchOptions,
    key: Annotated[
        str, typer.Option(help="Idempotency key: the same key is the same search.")
    ] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Solve one problem and show the search as it runs.

    Exit status 1 when it ended without an answer. Ctrl-C ends the search.

    Example: rstar solve "Solve 185*x + 123*x - 2426 = 61*x + 785 for x." --rollouts 16
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.search import solution

    result = run(_solve(home, question, options, key, quiet=json))
    if json:
        value = as_json(result)
        for step in value.get("solution", []):
            step.pop("token_ids", None)
        value.pop("trajectories", None)
        emit_json(value)
    else:
        out = console()
        out.print(solution(result))
        out.print(f"the whole tree: rstar tree {result.search_id} --html tree.html", style="dim")
    if not result.answer:
        raise typer.Exit(1)


async def _solve(
    home: Path | None, question: str, options: SearchOptions, key: str, *, quiet: bool
) -> tree_pb2.SearchResult:
    from rich.live import Live

    from rstar.v1 import searcher_pb2, searcher_pb2_grpc, types_pb2
    from rstar_cli.connection import endpoints
    from rstar_cli.output import console
    from rstar_cli.views.search import SearchView
    from rstar_common.errors import InvalidInput, Unavailable

    if not question.strip():  # before the stack is looked for: that would not help
        raise InvalidInput("must not be empty", field="question")
    request = searcher_pb2.SolveRequest(
        problem=types_pb2.Problem(question=question),
        settings=options.to_proto(),
        idempotency_key=key,
    )
    view = SearchView(question)
    result: tree_pb2.SearchResult | None = None
    async with endpoints(home).dial("searcher") as wire:
        stub = searcher_pb2_grpc.SearcherServiceStub(wire)
        deadline = options.timeout + DEADLINE_SLACK_SECONDS if options.timeout else None
        events = stub.SolveStream(request, timeout=deadline)
        try:
            with Live(
                view, console=console(stderr=quiet), transient=True, refresh_per_second=8
            ) as live:
                if quiet:
                    live.stop()
                async for event in events:
                    view.take(event)
                    if event.WhichOneof("event") == "finished":
                        result = event.finished.result
        except asyncio.CancelledError:
            await _cancel(stub, view)
            raise
    if result is None:
        raise Unavailable(f"the stream of search {view.search_id} ended without a result")
    return result


async def _cancel(stub: searcher_pb2_grpc.SearcherServiceAsyncStub, view: SearchView) -> None:
    """The person pressed Ctrl-C: end the search as well as the view."""
    import grpc

    from rstar.v1 import searcher_pb2
    from rstar_cli.output import console

    if not view.search_id:
        return
    try:
        request = searcher_pb2.CancelSearchRequest(search_id=view.search_id)
        await stub.CancelSearch(request, timeout=2)
    except grpc.aio.AioRpcError:
        return
    console(stderr=True).print(f"cancelled search {view.search_id}")
