"""A search while it runs, and its solution. Model text is data: control characters are replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from rstar.v1 import searcher_pb2, tree_pb2, types_pb2
from rstar_cli.headline import headline
from rstar_cli.output import one_line, plain

LINES = 18
"""Nodes shown while a search runs: the most visited ones; a terminal is small."""

_ROOT = 0


@dataclass(slots=True)
class SeenNode:
    """A node as the event stream tells it."""

    parent: int
    text: str
    answer: str = ""
    ppm_score: float | None = None
    visits: int = 0
    value_sum: float = 0.0
    children: list[int] = field(default_factory=list[int])


class SearchView:
    """Follows the events of one search and shows where it is. `rich.live.Live` asks it."""

    def __init__(self, question: str, *, lines: int = LINES) -> None:
        self._question = question
        self._lines = lines
        self._nodes = {_ROOT: SeenNode(parent=_ROOT, text="")}
        self._dropped = 0
        self._done = self._total = 0
        self._best = ""
        self._best_score = 0.0
        self._cost = types_pb2.Cost()
        self.search_id = ""

    def take(self, event: searcher_pb2.SearchEvent) -> None:
        """Note one event."""
        self.search_id = event.search_id or self.search_id
        self._cost = event.cost
        match event.WhichOneof("event"):
            case "started":
                self._total = event.started.settings.rollouts
            case "expansion":
                self._dropped += event.expansion.dropped
                for node in event.expansion.children:
                    self._add(node)
            case "rollout_ended":
                self._end_rollout(event.rollout_ended)
            case _:
                pass

    def _add(self, node: tree_pb2.Node) -> None:
        if node.id == _ROOT:
            return
        self._nodes[node.id] = SeenNode(
            parent=node.parent,
            text=node.candidate.step.text,
            answer=node.answer,
            ppm_score=node.ppm_score if node.HasField("ppm_score") else None,
        )
        # A client that was too slow for an event may miss a parent; such a node is not drawn.
        if node.parent in self._nodes:
            self._nodes[node.parent].children.append(node.id)

    def _end_rollout(self, rollout: searcher_pb2.RolloutEnded) -> None:
        self._done, self._total = rollout.rollouts_done, rollout.rollouts_total
        self._best, self._best_score = rollout.best_answer, rollout.best_score
        node_id = rollout.node
        while node_id in self._nodes:
            node = self._nodes[node_id]
            node.visits += 1
            node.value_sum += rollout.value
            if node_id == _ROOT:
                break
            node_id = node.parent

    def take_tree(self, tree: tree_pb2.Tree) -> None:
        """Note a finished tree at once."""
        for node in tree.nodes:
            self._add(node)
            self._nodes[node.id].visits = node.visits
            self._nodes[node.id].value_sum = node.value_sum

    def __rich__(self) -> RenderableType:
        return Group(self.tree(), Text(""), self._progress())

    def tree(self) -> Tree:
        """The nodes most visited so far, as lines."""
        tree = Tree(Text(one_line(self._question, 96), style="bold"), guide_style="dim")
        shown = self._most_visited()
        branches = {_ROOT: tree}
        for node_id in sorted(shown):
            node = self._nodes[node_id]
            if node.parent in branches:
                branches[node_id] = branches[node.parent].add(_node_line(node))
        hidden = len(self._nodes) - 1 - len(shown)
        if hidden > 0:
            tree.add(Text(f"… {hidden} more nodes", style="dim"))
        return tree

    def _most_visited(self) -> set[int]:
        ranked = sorted(
            (node_id for node_id in self._nodes if node_id != _ROOT),
            key=lambda node_id: (-self._nodes[node_id].visits, node_id),
        )
        return set(ranked[: self._lines])

    def _progress(self) -> RenderableType:
        best = Text("best so far  ", style="dim")
        if self._best:
            best.append(one_line(self._best), style="bold green")
            best.append(f"  ({self._best_score:.2f})", style="dim")
        else:
            best.append("none yet", style="dim")
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(1, self._total), completed=self._done, width=30),
            f"{self._done}/{self._total} rollouts",
            Text(cost_line(self._cost) + f", {self._dropped} dropped", style="dim"),
        )
        return Group(best, bar)


def _node_line(node: SeenNode) -> Text:
    line = Text(headline(node.text, 64))
    if node.visits:
        line.append(f"  N {node.visits}", style="cyan")
        line.append(f" Q {node.value_sum / node.visits:+.2f}", style="cyan")
    if node.ppm_score is not None:
        line.append(f"  ppm {node.ppm_score:+.2f}", style="magenta")
    if node.answer:
        line.append(f"  ⇒ {one_line(node.answer, 24)}", style="bold green")
    return line


def cost_line(cost: types_pb2.Cost) -> str:
    """What a search cost, in one line."""
    return (
        f"{cost.wall_seconds:.1f} s, {cost.generated_tokens} tokens, "
        f"{cost.sandbox_runs} runs, {cost.expansions} expansions"
    )


def solution(result: tree_pb2.SearchResult) -> RenderableType:
    """The steps of the answer, the code they ran and what it printed, and the totals."""
    return Group(*_steps(result.solution), *_totals(result))


def _steps(steps: Sequence[types_pb2.Step]) -> Iterator[RenderableType]:
    for number, step in enumerate(steps, start=1):
        yield Text(f"step {number}", style="dim")
        text = plain(step.text)
        code = step.kind != types_pb2.STEP_KIND_ANSWER
        body = (
            Syntax(text, "python", background_color="default", word_wrap=True)
            if code
            else Text(text)
        )
        yield Padding(body, (0, 0, 0, 2))
        if step.output:
            yield Padding(Text(plain(step.output).rstrip(), style="yellow"), (0, 0, 0, 4))


def _totals(result: tree_pb2.SearchResult) -> Iterator[RenderableType]:
    status = enum_name(tree_pb2.SearchStatus.Name(result.status), "SEARCH_STATUS_")
    ended_by = enum_name(tree_pb2.EndedBy.Name(result.ended_by), "ENDED_BY_")
    if result.status == tree_pb2.SEARCH_STATUS_ANSWERED:
        answer = Text("answer  ", style="dim")
        answer.append(plain(result.answer), style="bold green")
        answer.append(f"  ({what_speaks_for(result)})", style="dim")
        yield answer
    else:
        why = f": {plain(result.failure.message)}" if result.failure.message else ""
        yield Text(f"no answer ({status}{why})", style="bold red")
    yield Text(f"ended by {ended_by}; {cost_line(result.cost)}", style="dim")
    versions = result.versions
    made_with = [part for part in (versions.policy, versions.ppm) if part]
    yield Text(f"made with {', '.join(made_with)}; search {result.search_id}", style="dim")


def what_speaks_for(result: tree_pb2.SearchResult) -> str:
    """Of the selected answer: its PPM score, or its share of the votes.

    Where the PPM scored nothing, every rule is a vote.
    """
    rule = result.settings.answer_selection
    scored = any(found.HasField("ppm_score") for found in result.trajectories)
    if scored and rule == types_pb2.ANSWER_SELECTION_BEST_PPM:
        return f"PPM score {result.answer_score:+.2f}"
    weighted = scored and rule == types_pb2.ANSWER_SELECTION_WEIGHTED_MAJORITY
    return f"{result.answer_score:.0%} of votes{', weighted by PPM score' if weighted else ''}"


def enum_name(name: str, prefix: str) -> str:
    """An enum constant as people read it: `ENDED_BY_WALL_TIME` is `wall time`."""
    return name.removeprefix(prefix).lower().replace("_", " ")


def tree_lines(tree: tree_pb2.Tree, limit: int = 80) -> Tree:
    """A finished tree as lines; the most visited `limit` nodes of a large one."""
    view = SearchView(tree.problem.question, lines=limit)
    view.take_tree(tree)
    return view.tree()
