"""A trainer that only listens, and `rstar train` speaking to it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import grpc

from rstar.v1 import trainer_pb2, trainer_pb2_grpc


class Listener(trainer_pb2_grpc.TrainerServiceServicer):
    """A trainer that only remembers what it was asked."""

    def __init__(self) -> None:
        self.heard: list[trainer_pb2.SubmitJobRequest] = []

    async def SubmitJob(self, request, context):
        self.heard.append(request)
        return trainer_pb2.SubmitJobResponse(job=trainer_pb2.Job(job_id=request.job_id))


async def train(
    listener: Listener, home: Path, *arguments: str, **environment: str
) -> tuple[int | None, str]:
    """Exit status and stderr of `rstar train ... --detach`."""
    server = grpc.aio.server()
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(listener, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rstar_cli.main", "train", *arguments, "--detach"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={
                "RSTAR_CLI_TRAINER": f"127.0.0.1:{port}",
                "RSTAR_HOME": str(home),
                **environment,
            },
        )
        _, stderr = await command.communicate()
    finally:
        await server.stop(None)
    return command.returncode, stderr.decode()
