"""Run one arm through the queue; each search that ends is written down at once.

The batch's id follows from the run's question, the models that are served and the arm, so
publishing it again after a kill changes nothing: what was searched is found, the rest is
searched. Other models begin another batch, and go on with no run. No reference comes near this
module.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2, types_pb2
from rstar_cli.batch import answered, follow, publish, submission_of
from rstar_cli.connection import Endpoints
from rstar_cli.evaluation.arms import Arm
from rstar_cli.evaluation.record import Record, dead_record, record_of
from rstar_cli.evaluation.run_directory import RunDirectory
from rstar_cli.evaluation.versions import Versions, answered_by, differ, mixed, named, served_by
from rstar_cli.problems import FileProblem
from rstar_cli.views.batch import BatchProgress
from rstar_common.errors import Cancelled, Conflict, NotFound, RstarError, first_leaf

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
        Conflict: the run was begun by other models than are served now.
        RstarError: the system does not answer.
    """
    known = run.records(arm.name)
    if any(problem.problem_id not in known for problem in problems):
        served = await served_by(where)
        if _is_over(run, known, served):
            return _in_order(known, problems)
        batch_id = _batch_id(run, arm, served)
        wanted = [problem.to_proto() for problem in problems]
        submission = await publish(
            where.nats, where.object_store, submission_of(batch_id, wanted, arm.settings)
        )
        async with where.dial("searcher") as wire:
            with BatchProgress(quiet=quiet) as progress:
                await _collect(wire, run, arm, batch_id, submission, set(known), progress)
        known = run.records(arm.name)
    return _in_order(known, problems)


def _is_over(run: RunDirectory, known: Mapping[str, Record], served: Versions) -> bool:
    """Whether what an arm lacks stays without a result: it was reported, and of other models.

    Raises:
        Conflict: other models would answer the rest.
    """
    theirs = answered_by(run.every_record())
    if not differ(theirs, served):
        return False
    if run.reported and known:
        return True
    way_back = "" if mixed(theirs) else ", or promote what answered them to go on"
    raise Conflict(
        f"{run.path} holds searches by {named(theirs)}, and served now: {named(served)}; "
        f"choose another --name{way_back}"
    )


def _batch_id(run: RunDirectory, arm: Arm, served: Versions) -> str:
    # A queue keeps its batches: without the models in its name, one of an earlier run, whose
    # directory is gone or elsewhere, would be taken for what the present ones answer.
    asks_ppm = arm.settings.strategy != types_pb2.STRATEGY_GREEDY
    models = {tier: served[tier] for tier in served if tier != "ppm" or asks_ppm}
    text = json.dumps([run.digest, models], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"eval-{run.path.name[:60]}-{digest}-{arm.name}"


def _in_order(known: Mapping[str, Record], problems: Sequence[FileProblem]) -> list[Record]:
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

    async def tree_of(result: tree_pb2.SearchResult) -> tree_pb2.Tree | None:
        if not result.tree_key:  # of a problem that was cancelled before it was begun
            return tree_pb2.Tree()
        request = searcher_pb2.GetTreeRequest(search_id=result.search_id)
        try:
            async with places:
                return (await answered(partial(searcher.GetTree, request, timeout=_SECONDS))).tree
        except NotFound:  # results are kept, searches for a week
            return None

    async def write(item: searcher_pb2.BatchResult) -> None:
        run.add_record(arm.name, record_of(item, await tree_of(item.result)))

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
            page = await answered(partial(batches.ListBatchResults, request, timeout=_SECONDS))
            page_token = page.next_page_token
            try:
                async with asyncio.TaskGroup() as group:
                    for item in page.results:
                        if item.problem_id not in written:
                            written.add(item.problem_id)
                            group.create_task(write(item))
            except* RstarError as failures:
                # One cause is enough; callers branch on the class.
                raise first_leaf(failures) from failures
            if page.complete or not page.results:
                break
