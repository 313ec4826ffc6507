"""What the command lists is everything there is, over as many pages as it takes."""

from __future__ import annotations

import asyncio

import grpc

from rstar.v1 import trainer_pb2, trainer_pb2_grpc
from tests.support.command_line import CommandLine

PAGE = 100
JOBS = [trainer_pb2.Job(job_id=f"job-{n}") for n in range(2 * PAGE + 1)]


class LongTrainer(trainer_pb2_grpc.TrainerServiceServicer):
    """Has had so many jobs that they come in three pages."""

    async def ListJobs(self, request, context):
        first = int(request.page_token or 0)
        following = first + min(request.page_size, PAGE)
        return trainer_pb2.ListJobsResponse(
            jobs=JOBS[first:following],
            next_page_token=str(following) if following < len(JOBS) else "",
        )


async def test_every_job_is_listed(tmp_path):
    server = grpc.aio.server()
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(LongTrainer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    rstar = CommandLine(tmp_path, {"RSTAR_CLI_TRAINER": f"127.0.0.1:{port}"})
    try:
        listed = await asyncio.to_thread(rstar.json, "jobs")
    finally:
        await server.stop(grace=0)
    assert [job["job_id"] for job in listed] == [job.job_id for job in JOBS]
