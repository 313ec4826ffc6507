"""What is kept of one search of an evaluation: its tries, its answer, its cost. No verdicts.

Read from the whole tree, because a batch's results do not carry trajectories. Samples that
were merged because their text was equal count as often as they were drawn. Of a search whose tree
is gone the choices are kept and the tries are not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from google.protobuf.json_format import MessageToDict

from rstar.v1 import searcher_pb2, tree_pb2, types_pb2
from rstar_cli.grading import rule_name
from rstar_common.errors import Unavailable

RECORD_FORMAT = 2
"""Of the files of an evaluation: one that was begun in another is not gone on with."""

DEAD = "DEAD"
"""Status of a problem that was refused or given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """An answer that finished trajectories stated."""

    answer: str
    count: int
    """Samples that ended in it."""

    score: float | None
    """The best PPM score of a trajectory with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One search."""

    problem_id: str
    status: str
    ended_by: str
    answer: str
    """Selected by the searcher; empty if there was none."""

    choices: Mapping[str, str]
    """What each rule chooses of the tries: `majority`, `weighted_majority`, `best_ppm`."""

    tries: Sequence[Try]
    """Distinct answers, the most liked first."""

    labels: Mapping[str, str]
    cost: Mapping[str, float]
    versions: Mapping[str, str]
    search_id: str
    started: float
    finished: float
    """Seconds since the epoch."""

    tree_gone: bool = False
    """Its tries are not known: the tree was no longer kept when it was asked for."""

    @property
    def finished_tries(self) -> int:
        """How many samples stated an answer."""
        return sum(one.count for one in self.tries)

    @property
    def answers(self) -> list[str]:
        """Every answer that must be judged."""
        chosen = [answer for answer in (self.answer, *self.choices.values()) if answer]
        return list(dict.fromkeys([*(one.answer for one in self.tries), *chosen]))

    def to_json(self) -> dict[str, Any]:
        """As kept in a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Record:
        """As kept in a file."""
        return cls(**{**value, "tries": tuple(Try(**one) for one in value["tries"])})


def record_of(item: searcher_pb2.BatchResult, tree: tree_pb2.Tree | None) -> Record:
    """What is kept of a result and its tree, or of the result alone where the tree is gone.

    Raises:
        Unavailable: the searcher is of an older release, which does not say what rules choose.
    """
    result = item.result
    answered = result.status == tree_pb2.SEARCH_STATUS_ANSWERED
    greedy = result.settings.strategy == types_pb2.STRATEGY_GREEDY
    if answered and not greedy and not result.choices:
        raise Unavailable(f"search {result.search_id}: its searcher is of an older release")
    gone = tree is None and not greedy
    if tree is None:
        tree = _outline(item)
    counts = {node.id: max(1, node.multiplicity) for node in tree.nodes}
    tries: dict[str, Try] = {}
    for found in tree.result.trajectories:  # best first, and a dict keeps that order
        count = counts.get(found.node_ids[-1], 1) if found.node_ids else 1
        score = found.ppm_score if found.HasField("ppm_score") else None
        best = tries.get(found.answer, Try(answer=found.answer, count=0, score=score))
        tries[found.answer] = replace(best, count=best.count + count)
    return Record(
        problem_id=item.problem_id,
        status=tree_pb2.SearchStatus.Name(result.status).removeprefix("SEARCH_STATUS_"),
        ended_by=tree_pb2.EndedBy.Name(result.ended_by).removeprefix("ENDED_BY_"),
        answer=result.answer if answered else "",
        choices={rule_name(choice.rule): choice.answer for choice in result.choices if answered},
        tries=tuple(tries.values()),
        labels=dict(item.labels),
        cost=cost_of(result.cost),
        versions=_text(result.versions),
        search_id=result.search_id,
        started=tree.started_at.ToMilliseconds() / 1000,
        finished=tree.finished_at.ToMilliseconds() / 1000,
        tree_gone=gone,
    )


def _outline(item: searcher_pb2.BatchResult) -> tree_pb2.Tree:
    """What is known of a tree that is gone: when it grew, and the only try of a greedy search."""
    tree = tree_pb2.Tree(finished_at=item.finished_at)
    grown = round(1000 * item.result.cost.wall_seconds)
    tree.started_at.FromMilliseconds(item.finished_at.ToMilliseconds() - grown)
    if item.result.settings.strategy == types_pb2.STRATEGY_GREEDY and item.result.answer:
        tree.result.trajectories.add(answer=item.result.answer)
    return tree


def dead_record(problem_id: str, labels: Mapping[str, str]) -> Record:
    """A problem without a result: unsolved."""
    return Record(
        problem_id=problem_id,
        status=DEAD,
        ended_by="",
        answer="",
        choices={},
        tries=(),
        labels=dict(labels),
        cost={},
        versions={},
        search_id="",
        started=0.0,
        finished=0.0,
    )


def cost_of(cost: types_pb2.Cost) -> dict[str, float]:
    """Every field, zeros included."""
    return {field.name: getattr(cost, field.name) for field in types_pb2.Cost.DESCRIPTOR.fields}


def _text(versions: types_pb2.Versions) -> dict[str, str]:
    return {key: str(value) for key, value in MessageToDict(versions).items()}


def total(records: Sequence[Record]) -> dict[str, float]:
    """The sum of what the searches cost."""
    return {
        name: sum(record.cost.get(name, 0.0) for record in records)
        for name in types_pb2.Cost.DESCRIPTOR.fields_by_name
    }
