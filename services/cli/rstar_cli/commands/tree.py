"""`rstar tree`: the whole tree of a finished search, in the terminal or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar.v1 import tree_pb2


def tree(
    search_id: Annotated[str, typer.Argument(metavar="SEARCH", help="Id of the search.")],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one self-contained page.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show the tree of a finished search: steps, output, Q, visits, scores, verdicts.

    Example: rstar tree 0b1c2d3e4f50 --html tree.html
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.search import solution, tree_lines

    found = run(_fetch(home, search_id))
    if html:
        from rstar_cli.treepage import render

        html.write_text(render(found), encoding="utf-8")
        if not json:
            console().print(f"wrote {len(found.nodes)} nodes to {html}")
    if json:
        emit_json(as_json(found))
    elif not html:
        out = console()
        out.print(tree_lines(found))
        out.print(solution(found.result))


async def _fetch(home: Path | None, search_id: str) -> tree_pb2.Tree:
    """The tree of a search. Raises `NotFound`."""
    from rstar.v1 import searcher_pb2, searcher_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    async with endpoints(home).dial("searcher") as wire:
        stub = searcher_pb2_grpc.SearcherServiceStub(wire)
        request = searcher_pb2.GetTreeRequest(search_id=search_id)
        return (await call(stub.GetTree(request, timeout=60))).tree
