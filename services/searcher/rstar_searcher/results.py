"""A finished search as `rstar.v1.SearchResult` and `rstar.v1.Tree`."""

from __future__ import annotations

from rstar.v1 import tree_pb2, types_pb2
from rstar_common.artifacts import tree_key
from rstar_common.formats import MAX_SHOWN_OUTPUT
from rstar_searcher import wire
from rstar_searcher.driver import EndedBy
from rstar_searcher.meter import Meter
from rstar_searcher.selection import Selected, Trajectory, select_answer, trajectories
from rstar_searcher.services import Problem
from rstar_searcher.settings import AnswerSelection, SearchSettings, Strategy
from rstar_searcher.settings_wire import SELECTIONS, settings_to
from rstar_searcher.tree import NodeId, Tree

MAX_RECORDED_BYTES = 512 * 1024
"""Of a result that is kept in NATS, whose messages have a megabyte."""


def best_so_far(tree: Tree, settings: SearchSettings) -> Selected | None:
    """The answer that would be returned if the search ended now."""
    return select_answer(found_in(tree, settings), settings.selection, top_k=settings.top_k)


def found_in(tree: Tree, settings: SearchSettings) -> list[Trajectory]:
    """Every trajectory that states an answer, best first, with its votes."""
    branches = settings.strategy in (Strategy.MCTS, Strategy.STEP_BEAM)
    return trajectories(tree, candidates=settings.candidates if branches else 0)


def result_of(
    search_id: str,
    batch_id: str,
    problem: Problem,
    settings: SearchSettings,
    tree: Tree,
    meter: Meter,
    ended: EndedBy,
) -> tree_pb2.SearchResult:
    """What the search found, what it cost, and what it was made with."""
    found = found_in(tree, settings)
    selected = select_answer(found, settings.selection, top_k=settings.top_k)
    result = tree_pb2.SearchResult(
        search_id=search_id,
        problem_id=problem.problem_id,
        status=tree_pb2.SEARCH_STATUS_NO_ANSWER,
        ended_by=wire.ENDINGS[ended],
        trajectories=[_trajectory_to(tree, one) for one in found],
        choices=_choices(found, settings),
        cost=wire.cost_to(meter),
        versions=versions_of(tree),
        settings=settings_to(settings),
        tree_key=tree_key(batch_id, search_id),
    )
    if ended is EndedBy.CANCEL:
        result.status = tree_pb2.SEARCH_STATUS_CANCELLED
    if selected:
        if ended is not EndedBy.CANCEL:
            result.status = tree_pb2.SEARCH_STATUS_ANSWERED
        result.answer = selected.trajectory.answer
        result.answer_score = selected.score
        result.solution.extend(wire.path_to(tree.steps_to(selected.trajectory.leaf), ids=False))
        if selected.trajectory.verdict:
            result.verdict = wire.VERDICTS[selected.trajectory.verdict]
    return result


def recorded(result: tree_pb2.SearchResult) -> tree_pb2.SearchResult:
    """What is kept of a result beside its tree: fits a message, whatever was printed."""
    kept = tree_pb2.SearchResult()
    kept.CopyFrom(result)
    kept.ClearField("trajectories")
    if kept.ByteSize() > MAX_RECORDED_BYTES:
        for step in kept.solution:
            step.output = step.output[:MAX_SHOWN_OUTPUT]
    if kept.ByteSize() > MAX_RECORDED_BYTES:
        kept.ClearField("solution")
    return kept


def tree_to(
    problem: Problem, settings: SearchSettings, tree: Tree, result: tree_pb2.SearchResult
) -> tree_pb2.Tree:
    """The whole tree, as it lies in the object store."""
    return tree_pb2.Tree(
        search_id=result.search_id,
        problem=wire.problem_to(problem),
        settings=settings_to(settings),
        nodes=[node_to(tree, node_id) for node_id in tree.ids()],
        dropped=[wire.dropped_to(parent, dropped) for parent, dropped in tree.dropped],
        result=result,
    )


def node_to(tree: Tree, node_id: NodeId, *, full: bool = True) -> tree_pb2.Node:
    """One node; without `full`, as in live events: no token ids, no log-probabilities."""
    node = tree[node_id]
    wire_node = tree_pb2.Node()
    if node.step is not None:
        stdout = node.step.outcome.stdout if node.step.outcome else ""
        wire_node = wire.step_node_to(node.step, stdout=stdout, full=full)
    wire_node.id = node_id
    wire_node.parent = node.parent
    wire_node.depth = node.depth
    wire_node.visits = node.visits
    wire_node.value_sum = node.value_sum
    if node.terminal:
        wire_node.terminal = wire.TERMINALS[node.terminal]
    return wire_node


def versions_of(tree: Tree) -> types_pb2.Versions:
    """The versions behind the newest node that names each."""
    versions = types_pb2.Versions()
    for node_id in tree.ids():
        step = tree[node_id].step
        if step is not None:
            versions.MergeFrom(wire.versions_to(step))
    return versions


def _choices(found: list[Trajectory], settings: SearchSettings) -> list[tree_pb2.Choice]:
    """What each rule chooses of `found`, which is sorted best first."""
    if not found or settings.strategy is Strategy.GREEDY:
        return []
    rules = [AnswerSelection.MAJORITY] if found[0].score is None else list(AnswerSelection)
    return [
        tree_pb2.Choice(
            rule=SELECTIONS[rule], answer=selected.trajectory.answer, score=selected.score
        )
        for rule in rules
        if (selected := select_answer(found, rule, top_k=settings.top_k))
    ]


def _trajectory_to(tree: Tree, found: Trajectory) -> tree_pb2.Trajectory:
    return tree_pb2.Trajectory(
        node_ids=tree.path_to(found.leaf)[1:],
        answer=found.answer,
        ppm_score=found.score,
        mean_q=found.mean_q,
        votes=found.votes,
        verdict=wire.VERDICTS[found.verdict] if found.verdict else types_pb2.VERDICT_UNSPECIFIED,
    )
