"""Training problems that resemble evaluation problems: found before anything runs.

Two questions are one if their normalised texts are equal, or if they have `ngram`
consecutive words in common. Numbers are words: problems of one template with other
numbers are told apart. Short questions are compared whole only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.questions import words
from rstar_trainer.evolution.problems import PoolProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A training problem and the evaluation problem it resembles."""

    pool: str
    problem_id: str
    evaluation_set: str
    evaluation_problem_id: str
    how: str


def _ngrams(text: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(len(text) - size + 1):
        yield tuple(text[start : start + size])


def contaminated(
    problems: Sequence[PoolProblem],
    evaluation_sets: Mapping[str, Sequence[types_pb2.Problem]],
    *,
    ngram: int,
) -> list[Match]:
    """One match for each training problem that resembles an evaluation problem, in order."""
    whole: dict[tuple[str, ...], tuple[str, str]] = {}
    parts: dict[tuple[str, ...], tuple[str, str]] = {}
    for name, members in evaluation_sets.items():
        for problem in members:
            text = words(problem.question)
            whole.setdefault(text, (name, problem.problem_id))
            if ngram:
                for part in _ngrams(text, ngram):
                    parts.setdefault(part, (name, problem.problem_id))
    found: list[Match] = []
    for one in problems:
        text = words(one.problem.question)
        match, how = whole.get(text), "text"
        if match is None and ngram:
            how = "ngram"
            match = next((parts[part] for part in _ngrams(text, ngram) if part in parts), None)
        if match is not None:
            found.append(
                Match(
                    pool=one.pool,
                    problem_id=one.id,
                    evaluation_set=match[0],
                    evaluation_problem_id=match[1],
                    how=how,
                )
            )
    return found


def counts(
    matches: Iterable[evolution_pb2.Contaminated],
) -> list[evolution_pb2.ContaminatedCount]:
    """How many there are of each kind, in order of their names."""
    found = Counter((one.pool, one.evaluation_set, one.how) for one in matches)
    return [
        evolution_pb2.ContaminatedCount(pool=pool, evaluation_set=name, how=how, count=count)
        for (pool, name, how), count in sorted(found.items())
    ]
