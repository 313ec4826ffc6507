"""What `rstar train` asks the trainer for, as the trainer hears it."""

from __future__ import annotations

import asyncio
import sys

import grpc
import pytest

from rstar.v1 import trainer_pb2, trainer_pb2_grpc


class Listener(trainer_pb2_grpc.TrainerServiceServicer):
    """A trainer that only remembers what it was asked."""

    def __init__(self) -> None:
        self.heard: list[trainer_pb2.SubmitJobRequest] = []

    async def SubmitJob(self, request, context):
        self.heard.append(request)
        return trainer_pb2.SubmitJobResponse(job=trainer_pb2.Job(job_id=request.job_id))


async def train(listener: Listener, tmp_path, *arguments: str) -> tuple[int | None, str]:
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
            env={"RSTAR_CLI_TRAINER": f"127.0.0.1:{port}", "RSTAR_HOME": str(tmp_path)},
        )
        _, stderr = await command.communicate()
    finally:
        await server.stop(None)
    return command.returncode, stderr.decode()


@pytest.mark.parametrize(
    ("word", "objective"),
    [
        ("pairwise", trainer_pb2.PPM_OBJECTIVE_PAIRWISE),
        ("q-regression", trainer_pb2.PPM_OBJECTIVE_Q_REGRESSION),
        ("outcome", trainer_pb2.PPM_OBJECTIVE_OUTCOME),
    ],
)
async def test_a_ppm_is_ordered_with_its_objective_and_filter(tmp_path, word, objective):
    listener = Listener()
    options = ("--batch", "b", "--objective", word, "--agreement-filter")
    status, stderr = await train(listener, tmp_path, "ppm", *options)
    assert status == 0, stderr
    [request] = listener.heard
    assert request.train_ppm.batch_ids == ["b"]
    assert request.train_ppm.objective == objective
    assert request.train_ppm.agreement_filter


async def test_an_unknown_objective_is_refused_with_those_there_are(tmp_path):
    listener = Listener()
    status, stderr = await train(listener, tmp_path, "ppm", "--objective", "quality")
    assert status == 2
    assert "q-regression" in stderr
    assert not listener.heard


async def test_a_file_that_is_not_there_is_named(tmp_path):
    listener = Listener()
    status, stderr = await train(listener, tmp_path, "policy", "--examples", "none.json")
    assert status == 2
    assert "none.json" in stderr
    assert not listener.heard
