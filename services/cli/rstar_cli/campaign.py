"""Publish problems, wait for the last result, grade: what the demo and the benchmark share.

References are read after the last search has ended; until then no process of the system,
this one included, has seen them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, types_pb2
from rstar_cli.batch import follow, publish, results, submission_of
from rstar_cli.connection import Endpoints
from rstar_cli.grading import Grade, grade
from rstar_cli.problems import FileProblem, read_references
from rstar_cli.views.batch import BatchProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A batch that has ended, graded."""

    batch_id: str
    results: Sequence[searcher_pb2.BatchResult]
    """In the order of the problems."""

    grades: Mapping[str, Grade]
    """One a problem; a dead-lettered one counts as `no answer`."""

    seconds: float
    """From publishing to the last result."""


async def campaign(
    where: Endpoints,
    batch_id: str,
    problems: Sequence[FileProblem],
    settings: types_pb2.SearchSettings,
    *,
    references: Path,
    quiet: bool = False,
) -> Campaign:
    """Run one batch to its end and grade it."""
    published = submission_of(batch_id, [problem.to_proto() for problem in problems], settings)
    began = time.monotonic()
    submission = await publish(where.nats, where.object_store, published)
    async with where.dial("searcher") as wire:
        stub = searcher_pb2_grpc.BatchServiceStub(wire)
        with BatchProgress(quiet=quiet) as progress:
            async for batch in follow(stub, batch_id, submission=submission):
                progress.show(batch, time.monotonic())
        seconds = time.monotonic() - began
        found = {item.problem_id: item for item in await results(stub, batch_id)}
    known = read_references(references)
    grades = await grade(where, list(found.values()), problems, known)
    for problem in problems:
        if problem.problem_id not in found:
            reference = known.get(problem.problem_id, "")
            grades[problem.problem_id] = Grade(verdict="no answer", reference=reference)
    ordered = [found[p.problem_id] for p in problems if p.problem_id in found]
    return Campaign(batch_id=batch_id, results=ordered, grades=grades, seconds=seconds)
