"""One node: a row in the outline, and everything about it."""

from __future__ import annotations

from collections.abc import Iterator

from pygments import highlight  # type: ignore[import-untyped] # has no stubs
from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers.python import PythonLexer  # type: ignore[import-untyped]

from rstar.v1 import tree_pb2, types_pb2
from rstar_cli.headline import headline
from rstar_cli.output import one_line, plain
from rstar_cli.treepage.drawing import colour
from rstar_cli.treepage.html import Html, join, tag
from rstar_cli.treepage.outline import ROOT, Outline, mean
from rstar_cli.views.search import enum_name

VERDICT_MARKS = {
    types_pb2.VERDICT_EQUAL: ("right", "✓"),
    types_pb2.VERDICT_UNEQUAL: ("wrong", "✗"),
    types_pb2.VERDICT_UNDECIDED: ("open", "?"),
}
_TERMINALS = {
    tree_pb2.TERMINAL_NO_VALID_CANDIDATE: "dead end",
    tree_pb2.TERMINAL_LIMIT: "limit",
}
_LINE = 110
_LEXER = PythonLexer(stripnl=False)
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="h-")


def rows(tree: Outline, node_id: int = ROOT) -> Html:
    """The children of a node as a list, each with its own below it."""
    # Built bottom-up instead of by recursion: a chain may be deeper than Python likes.
    built: dict[int, Html] = {}
    for parent in reversed(list(tree.depth_first())):
        items = [_item(tree, child, built.pop(child)) for child in tree.children.get(parent, ())]
        items += [_dropped(candidate) for candidate in tree.dropped.get(parent, ())]
        built[parent] = tag("ul", items, role="group") if items else Html("")
    return built.get(node_id, Html(""))


def _item(tree: Outline, node_id: int, below: Html) -> Html:
    node = tree.nodes[node_id]
    best = node_id in tree.best
    summary = tag(
        "summary",
        tag("span", f"{node_id}", class_="id"),
        tag("code", headline(node.candidate.step.text, _LINE)),
        tag("span", _badges(node), class_="badges"),
        tag("span", _figures(tree, node), class_="figures"),
    )
    content = tag("div", _about(node), class_="about", hidden=True)
    classes = " ".join(filter(None, ["best" if best else "", "" if below else "leaf"]))
    return tag(
        "li",
        tag("details", summary, content, below, open=best),
        id=f"n{node_id}",
        class_=classes or None,
    )


def _dropped(candidate: tree_pb2.DroppedCandidate) -> Html:
    step = candidate.candidate.step
    why = _failure(candidate.execution) if candidate.HasField("execution") else "incomplete"
    summary = tag(
        "summary",
        tag("span", "-", class_="id"),
        tag("code", headline(step.text, _LINE)),
        tag("span", tag("b", one_line(why, 48), class_="dropped"), class_="badges"),
    )
    content = tag(
        "div",
        tag("h3", "Dropped candidate"),
        _block("why", why, class_="error"),
        _code(step),
        _execution(candidate.execution),
        class_="about",
        hidden=True,
    )
    return tag("li", tag("details", summary, content), class_="leaf dropped")


def _badges(node: tree_pb2.Node) -> Iterator[Html]:
    if node.terminal == tree_pb2.TERMINAL_ANSWER:
        kind, mark = VERDICT_MARKS.get(node.verdict, ("answer", ""))
        yield tag("b", f"= {one_line(node.answer, 40)} {mark}".rstrip(), class_=kind)
    elif node.terminal in _TERMINALS:
        yield tag("b", _TERMINALS[node.terminal], class_="stop")
    elif node.multiplicity > 1:
        yield tag("i", f"{node.multiplicity} alike")


def _figures(tree: Outline, node: tree_pb2.Node) -> Iterator[Html]:
    if node.HasField("ppm_score"):
        yield tag("span", f"ppm {node.ppm_score:+.2f}", class_="ppm")
    q = mean(node)
    yield tag("span", f"Q {q:+.2f}" if q is not None else "Q -", class_=f"q {colour(node)}")
    yield tag("span", f"N {node.visits}", class_="n")
    yield tag("meter", value=node.visits, max=tree.most_visits, aria_hidden="true")


def _about(node: tree_pb2.Node) -> Html:
    candidate = node.candidate
    step = candidate.step
    q = mean(node)
    logprobs = candidate.token_logprobs
    facts = {
        "visits": str(node.visits),
        "Q": f"{q:+.4f}" if q is not None else "none yet",
        "PPM score": f"{node.ppm_score:+.4f}" if node.HasField("ppm_score") else "",
        "samples alike": str(node.multiplicity) if node.multiplicity > 1 else "",
        "tokens": str(len(step.token_ids) or ""),
        "mean log-prob": f"{sum(logprobs) / len(logprobs):.3f}" if logprobs else "",
        "seed": str(candidate.seed or ""),
        "ran": f"{1000 * node.execution.wall_seconds:.1f} ms" if node.HasField("execution") else "",
        "policy": node.versions.policy,
        "PPM": node.versions.ppm,
        "sandbox": node.versions.sandbox,
    }
    kind = enum_name(types_pb2.StepKind.Name(step.kind), "STEP_KIND_")
    verdict = enum_name(types_pb2.Verdict.Name(node.verdict), "VERDICT_")
    answer = node.answer + (f"  ({verdict})" if node.verdict else "")
    return join(
        tag("h3", f"Node {node.id}, depth {node.depth}: {kind}"),
        _block("answer", answer) if node.terminal == tree_pb2.TERMINAL_ANSWER else None,
        _code(step),
        _execution(node.execution) if node.HasField("execution") else None,
        facts_list(facts),
    )


def facts_list(facts: dict[str, str]) -> Html:
    """Names and values; empty values are left out."""
    pairs = [
        tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items() if value
    ]
    return tag("dl", pairs)


def _code(step: types_pb2.Step) -> Html:
    if step.kind == types_pb2.STEP_KIND_ANSWER:
        return _block("text", step.text)
    return tag("div", tag("h4", "code"), tag("pre", python(step.text), class_="code"))


def python(text: str) -> Html:
    """Coloured Python. Pygments escapes; it only adds spans with classes."""
    return Html(highlight(plain(text), _LEXER, _FORMATTER).rstrip("\n"))


def _execution(outcome: types_pb2.ExecutionOutcome) -> Html:
    failure = _failure(outcome)
    cut = " (cut)" if outcome.stdout_truncated else ""
    return join(
        _block(f"printed{cut}", outcome.stdout, class_="output") if outcome.stdout else None,
        _block("failed", failure, class_="error") if failure else None,
    )


def _failure(outcome: types_pb2.ExecutionOutcome) -> str:
    if outcome.HasField("exception"):
        raised = outcome.exception
        where = f", line {raised.line}" if raised.line else ""
        return f"{raised.type}: {raised.message}{where}"
    if outcome.limit:
        return f"{enum_name(types_pb2.LimitKind.Name(outcome.limit), 'LIMIT_KIND_')} limit"
    return ""


def _block(title: str, text: str, class_: str = "text") -> Html:
    return tag("div", tag("h4", title), tag("pre", text, class_=class_))


def solution(tree: Outline) -> Html:
    """The steps on the best path, with what they printed, to be read from top to bottom."""
    steps = [tree.nodes[node_id] for node_id in tree.best_path]
    return tag(
        "ol",
        [
            tag(
                "li",
                tag("a", f"node {node.id}", href=f"#n{node.id}"),
                _code(node.candidate.step),
                _execution(node.execution) if node.HasField("execution") else None,
            )
            for node in steps
        ],
        class_="solution",
    )
