"""The problems of a run: read from the store, told apart, chosen for a round.

References stay in values of this module and in data-generation batches; what is evaluated
is published without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf import json_format

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.artifacts import ObjectStore
from rstar_common.errors import InvalidInput
from rstar_common.spread import spread
from rstar_common.streams import check_name, token
from rstar_trainer.dataset import SYNTHETIC_RIGHT_SHARE

PREFIX = "evolution/"

LABELS = ("module", "subject", "type", "level", "source")
"""The first of these that a problem has is the label that reports tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolProblem:
    """A problem and where it comes from."""

    pool: str
    problem: types_pb2.Problem
    synthetic: bool = False

    @property
    def id(self) -> str:
        return self.problem.problem_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PastResult:
    """What the last search of a problem gave."""

    right: int
    answered: int
    """Trajectories with a judged answer, right ones included."""

    def __add__(self, other: PastResult) -> PastResult:
        return PastResult(right=self.right + other.right, answered=self.answered + other.answered)

    @property
    def right_share(self) -> float:
        return self.right / self.answered if self.answered else 0.0


def run_prefix(run_id: str) -> str:
    """Where the objects of a run lie."""
    return f"{PREFIX}{token(run_id)}/"


def label_of(labels: Mapping[str, str]) -> str:
    """The label of a problem that reports tell apart; empty if it has none."""
    return next((labels[name] for name in LABELS if name in labels), "")


def level_of(labels: Mapping[str, str]) -> str:
    """How hard a problem is said to be; empty if nothing is said."""
    return labels.get("level", "")


async def read_set(store: ObjectStore, key: str, *, where: str) -> list[types_pb2.Problem]:
    """The problems of an object, in order. Those of a public set take a minute to read.

    Raises:
        InvalidInput: naming `where`: a line is no problem, or an id appears twice.
    """
    return await asyncio.to_thread(_parsed, await store.get(key), where)


def _parsed(data: bytes, where: str) -> list[types_pb2.Problem]:
    problems: list[types_pb2.Problem] = []
    seen: set[str] = set()
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            problem = json_format.Parse(line, types_pb2.Problem(), max_recursion_depth=8)
        except (json_format.ParseError, UnicodeDecodeError) as error:
            raise InvalidInput(f"line {number} is no problem: {error}", field=where) from error
        check_name(problem.problem_id, field=f"{where}: line {number}")
        if not problem.HasField("reference"):
            raise InvalidInput(f"{problem.problem_id} has no answer", field=where)
        if problem.problem_id in seen:
            raise InvalidInput(f"{problem.problem_id} appears twice", field=where)
        seen.add(problem.problem_id)
        problems.append(problem)
    if not problems:
        raise InvalidInput("holds no problem", field=where)
    return problems


def choose(
    round_: evolution_pb2.Round,
    problems: Sequence[PoolProblem],
    past: Mapping[str, PastResult],
    excluded: Collection[str],
    refused: Collection[str] = (),
) -> list[PoolProblem]:
    """The problems of a round: a function of the recipe and of what came of earlier ones alone.

    Too easy ones, and synthetic ones whose answers are mostly called wrong, are left out;
    of those searched in vain as many are taken as their share allows. So were those all of whose
    right answers are `refused`.
    """
    wanted = set(round_.pools)
    kept: list[PoolProblem] = []
    for one in problems:
        if (wanted and one.pool not in wanted) or one.id in excluded:
            continue
        result = past.get(one.id)
        if result is not None and result.answered:
            easy = round_.too_easy_share and result.right_share >= round_.too_easy_share
            if easy and one.id not in refused:
                continue
            if one.synthetic and 0 < result.right_share < SYNTHETIC_RIGHT_SHARE:
                continue
        kept.append(one)
    unsolved: list[PoolProblem] = []
    if share := round_.max_unsolved_share:
        missed = {name for name, result in past.items() if result.right == 0}
        missed |= past.keys() & set(refused)
        others = [one for one in kept if one.id not in missed]
        total = round_.problems or len(kept)
        # Few others: then the unsolved are fewer too, so that their share holds.
        allowed = min(total * share, len(others) * share / (1 - share)) if share < 1 else total
        unsolved = [one for one in kept if one.id in missed]
        unsolved = spread(unsolved, int(allowed)) if int(allowed) else []
        kept = others
    room = round_.problems - len(unsolved)
    if round_.prefer_new and 0 < room < len(kept):
        fresh = spread([one for one in kept if one.id not in past], room)
        known = [one for one in kept if one.id in past]
        rest = spread(known, left) if (left := room - len(fresh)) else []
        return [*fresh, *rest, *unsolved]
    if round_.problems and room <= 0:
        return unsolved
    return [*spread(kept, max(room, 0)), *unsolved]
