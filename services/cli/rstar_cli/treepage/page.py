"""The page: header, solution, map, outline, details.

It holds its style and script, allowed by their hashes in a content security policy that
allows nothing else: no request, no other script, no inline style. The script reads no data;
nodes are escaped markup that it hides, shows and copies.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from google.protobuf.json_format import MessageToDict

from rstar.v1 import tree_pb2, types_pb2
from rstar_cli.output import one_line
from rstar_cli.treepage.drawing import drawing
from rstar_cli.treepage.html import Html, join, tag
from rstar_cli.treepage.outline import Outline, outline
from rstar_cli.treepage.rows import VERDICT_MARKS, facts_list, rows, solution
from rstar_cli.views.search import enum_name, what_speaks_for


def render(tree: tree_pb2.Tree) -> str:
    """The page of one search."""
    index = outline(tree)
    main = tag("main", _outline(tree, index), tag("aside", id="details", tabindex="-1"))
    title = f"{one_line(tree.problem.question, 70)} · rStar-Math"
    return document(title, join(_header(tree, index), main), script=_asset("page.js"))


def document(title: str, content: Html, *, script: str = "") -> str:
    """A whole document in the style of all pages; only `script` may run in it."""
    style = _asset("page.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{_digest(style)}'",
            *([f"script-src 'sha256-{_digest(script)}'"] if script else []),
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        Html(f"<style>{style}</style>"),
    )
    body = tag("body", content, Html(f"<script>{script}</script>") if script else None)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _header(tree: tree_pb2.Tree, index: Outline) -> Html:
    result = tree.result
    cost = result.cost
    chips = {
        "rollouts": str(cost.rollouts),
        "nodes": str(len(index.nodes)),
        "dropped": str(len(tree.dropped)),
        "seconds": f"{cost.wall_seconds:.1f}",
        "tokens": f"{cost.generated_tokens:,}",
        "sandbox runs": f"{cost.sandbox_runs:,}",
        "retries": str(cost.retries) if cost.retries else "",
        "ended by": enum_name(tree_pb2.EndedBy.Name(result.ended_by), "ENDED_BY_"),
    }
    facts = {
        "search": tree.search_id or result.search_id,
        "problem": tree.problem.problem_id,
        "policy": result.versions.policy,
        "PPM": result.versions.ppm,
        "sandbox": result.versions.sandbox,
        "started": tree.started_at.ToJsonString() if tree.HasField("started_at") else "",
    }
    return tag(
        "header",
        tag("p", "rStar-Math search", class_="kicker"),
        tag("h1", tree.problem.question),
        tag("div", _answer(tree), facts_list(chips), class_="band"),
        tag("figure", drawing(index)),
        tag(
            "div",
            _section("Solution", solution(index), open_=True) if index.best_path else None,
            _section("Settings, versions, cost", _settings(tree, facts), open_=False),
            class_="sections",
        ),
    )


def _answer(tree: tree_pb2.Tree) -> Html:
    result = tree.result
    if result.status != tree_pb2.SEARCH_STATUS_ANSWERED:
        status = enum_name(tree_pb2.SearchStatus.Name(result.status), "SEARCH_STATUS_")
        why = f": {result.failure.message}" if result.failure.message else ""
        return tag("p", tag("strong", status, class_="wrong"), why, class_="answer")
    kind, mark = VERDICT_MARKS.get(result.verdict, ("", ""))
    against = None
    if tree.problem.HasField("reference"):
        against = tag("span", f"{mark} reference {tree.problem.reference}", class_=kind)
    score = tag("span", what_speaks_for(result))
    return tag("p", tag("strong", result.answer), " ", score, " ", against, class_="answer")


def _settings(tree: tree_pb2.Tree, facts: dict[str, str]) -> Html:
    used = tree.result.settings if tree.result.HasField("settings") else tree.settings
    parts = [("", facts), ("settings", _flat(used)), ("cost", _flat(tree.result.cost))]
    return join(
        *((tag("h4", title) if title else None, facts_list(values)) for title, values in parts)
    )


def _flat(message: types_pb2.SearchSettings | types_pb2.Cost) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in MessageToDict(message, preserving_proto_field_name=True).items():
        items = value.items() if isinstance(value, dict) else [(key, value)]
        for name, item in items:
            shown = f"{item:.4g}" if isinstance(item, float) else str(item)
            values[name.replace("_", " ")] = shown
    return values


def _section(title: str, content: Html, *, open_: bool) -> Html:
    return tag("details", tag("summary", title), content, open=open_)


def _outline(tree: tree_pb2.Tree, index: Outline) -> Html:
    filters = {
        "all": "everything",
        "best": "the best path",
        "answers": "answers",
        "visited": "visited nodes",
        "dropped": "dropped candidates",
    }
    bar = tag(
        "div",
        tag(
            "input",
            type="search",
            id="find",
            placeholder="find in text, code, output",
            disabled=True,
        ),
        tag(
            "select",
            [tag("option", name, value=value) for value, name in filters.items()],
            id="filter",
            aria_label="show",
            disabled=True,
        ),
        tag("button", "open all", type="button", id="open", disabled=True),
        tag("button", "close all", type="button", id="close", disabled=True),
        tag("output", f"{len(index.nodes)} nodes", id="count"),
        class_="bar",
    )
    return tag("section", bar, tag("div", rows(index), id="tree", role="tree"))


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
