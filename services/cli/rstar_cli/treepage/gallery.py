"""A folder of tree pages with an index."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rstar.v1 import searcher_pb2, searcher_pb2_grpc
from rstar_cli.campaign import Campaign
from rstar_cli.connection import Endpoints
from rstar_cli.grading import EQUAL, Grade
from rstar_cli.treepage.html import Html, tag
from rstar_cli.treepage.page import document, render
from rstar_cli.views.batch import grade_totals
from rstar_common.rpc import call

_CALL_SECONDS = 60.0


async def write_gallery(where: Endpoints, done: Campaign, directory: Path) -> None:
    """Write `index.html` and one page a search."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    async with where.dial("searcher") as wire:
        stub = searcher_pb2_grpc.SearcherServiceStub(wire)
        for item in done.results:
            search_id = item.result.search_id
            request = searcher_pb2.GetTreeRequest(search_id=search_id)
            tree = (await call(stub.GetTree(request, timeout=_CALL_SECONDS))).tree
            await _write(directory / f"{search_id}.html", render(tree))
    await _write(directory / "index.html", index(done))


async def _write(path: Path, page: str) -> None:
    await asyncio.to_thread(path.write_text, page, encoding="utf-8")


def index(done: Campaign) -> str:
    """The list of all searches of a batch."""
    head = tag("tr", *(tag("th", name) for name in _COLUMNS))
    body = [_row(item, done.grades.get(item.problem_id)) for item in done.results]
    content = tag(
        "header",
        tag("p", f"rStar-Math batch {done.batch_id}", class_="kicker"),
        tag("h1", grade_totals(done.grades)),
        tag("table", tag("thead", head), tag("tbody", body), class_="gallery"),
    )
    return document(f"{done.batch_id} · rStar-Math", content)


_COLUMNS = ("problem", "answer", "reference", "verdict", "rollouts", "tokens", "seconds")


def _row(item: searcher_pb2.BatchResult, grade: Grade | None) -> Html:
    result = item.result
    verdict = grade.verdict if grade else ""
    style = "right" if verdict == EQUAL else "open" if verdict == "undecided" else "wrong"
    return tag(
        "tr",
        tag("td", tag("a", item.question or item.problem_id, href=f"{result.search_id}.html")),
        tag("td", tag("code", result.answer)),
        tag("td", tag("code", grade.reference if grade else "")),
        tag("td", verdict, class_=style),
        tag("td", str(result.cost.rollouts), class_="number"),
        tag("td", f"{result.cost.generated_tokens:,}", class_="number"),
        tag("td", f"{result.cost.wall_seconds:.1f}", class_="number"),
    )
