"""`rstar jobs` and `rstar cancel-job`: the training jobs there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rstar_cli.commands.options import Home, Json

if TYPE_CHECKING:
    from rstar.v1 import trainer_pb2


def jobs(json: Json = False, home: Home = None) -> None:
    """List the training jobs, newest first.

    Example: rstar jobs
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.training import jobs_table

    found = run(_jobs(home))
    if json:
        emit_json([as_json(job) for job in found])
    else:
        console().print(jobs_table(found))


async def _jobs(home: Path | None) -> list[trainer_pb2.Job]:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    found: list[trainer_pb2.Job] = []
    page_token = ""
    async with endpoints(home).dial("trainer") as wire:
        stub = trainer_pb2_grpc.TrainerServiceStub(wire)
        while True:
            request = trainer_pb2.ListJobsRequest(page_size=100, page_token=page_token)
            page = await call(stub.ListJobs(request, timeout=30))
            found += page.jobs
            page_token = page.next_page_token
            if not page_token:
                return found


def cancel_job(
    job_id: Annotated[str, typer.Argument(metavar="JOB")], json: Json = False, home: Home = None
) -> None:
    """End a training job.

    Example: rstar cancel-job train-ppm-20260101-120000-ab12
    """
    from rstar_cli.output import as_json, console, emit_json, run
    from rstar_cli.views.training import jobs_table

    job = run(_cancel_job(home, job_id))
    if json:
        emit_json(as_json(job))
    else:
        console().print(jobs_table([job]))


async def _cancel_job(home: Path | None, job_id: str) -> trainer_pb2.Job:
    from rstar.v1 import trainer_pb2, trainer_pb2_grpc
    from rstar_cli.connection import endpoints
    from rstar_common.rpc import call

    async with endpoints(home).dial("trainer") as wire:
        stub = trainer_pb2_grpc.TrainerServiceStub(wire)
        request = trainer_pb2.CancelJobRequest(job_id=job_id)
        return (await call(stub.CancelJob(request, timeout=30))).job
