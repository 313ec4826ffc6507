"""Run one arm through the queue; each search that ends is written down at once.

The batch's id follows from the run's question and the arm, so publishing it again after a
kill changes nothing: what was searched is found, the rest is searched. No reference comes
near this module.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2
from rstar_cli.batch import follow, publish, submission_of
from rstar_cli.connection import Endpoints
from rstar_cli.evaluation.arms import Arm
from rstar_cli.evaluation.record import Record, dead_record, record_of
from rstar_cli.evaluation.run_directory import RunDirectory
from rstar_cli.problems import FileProblem
from rstar_cli.views.batch import BatchProgress
from rstar_common.errors import Cancelled
from rstar_common.rpc import call

_SECONDS = 60.0
_PAGE = 200
_TREES_AT_ONCE = 8


async def search_arm(
    where: Endpoints,
    run: RunDirectory,
    arm: Arm,
    problems: Sequence[FileProblem],
    *,
    quiet: bool,
) -> list[Record]:
    """Every problem's record, in order; those of an earlier start are not searched again.

    Raises:
        Cancelled: somebody cancelled the batch.
        RstarError: the system does not answer.
    """
    known = run.records(arm.name)
    if any(problem.problem_id not in known for problem in problems):
        batch_id = f"eval-{run.path.name[:60]}-{run.digest}-{arm.name}"
        wanted = [problem.to_proto() for problem in problems]
        submission = await publish(
            where.nats, where.object_store, submission_of(batch_id, wanted, arm.settings)
        )
        async with where.dial("searcher") as wire:
            with BatchProgress(quiet=quiet) as progress:
                await _collect(wire, run, arm, batch_id, submission, set(known), progress)
        known = run.records(arm.name)
    return [
        known.get(problem.problem_id) or dead_record(problem.problem_id, problem.labels)
        for problem in problems
    ]


async def _collect(
    wire: grpc.aio.Channel,
    run: RunDirectory,
    arm: Arm,
    batch_id: str,
    submission: int,
    written: set[str],
    progress: BatchProgress,
) -> None:
    batches = searcher_pb2_grpc.BatchServiceStub(wire)
    searcher = searcher_pb2_grpc.SearcherServiceStub(wire)
    places = asyncio.Semaphore(_TREES_AT_ONCE)
    page_token = ""

    async def write(item: searcher_pb2.BatchResult) -> None:
        tree = tree_pb2.Tree()
        if item.result.tree_key:  # a problem that was cancelled before it was begun has none
            async with places:
                request = searcher_pb2.GetTreeRequest(search_id=item.result.search_id)
                tree = (await call(searcher.GetTree(request, timeout=_SECONDS))).tree
        run.add_record(arm.name, record_of(item, tree))

    async for batch in follow(batches, batch_id, submission=submission):
        progress.show(batch, time.monotonic())
        if batch.state == searcher_pb2.BATCH_STATE_CANCELLED:
            raise Cancelled(f"batch {batch_id} was cancelled; choose another --name")
        while True:
            request = searcher_pb2.ListBatchResultsRequest(
                batch_id=batch_id,
                page_size=_PAGE,
                page_token=page_token,
                submission=submission,
            )
            page = await call(batches.ListBatchResults(request, timeout=_SECONDS))
            page_token = page.next_page_token
            async with asyncio.TaskGroup() as group:
                for item in page.results:
                    if item.problem_id not in written:
                        written.add(item.problem_id)
                        group.create_task(write(item))
            if page.complete or not page.results:
                break
