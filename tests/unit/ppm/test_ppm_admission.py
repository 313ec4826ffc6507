"""The PPM admits what it can answer soon, at whatever pace its machine allows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager

import grpc
import pytest

from rstar.v1 import ppm_pb2, ppm_pb2_grpc, types_pb2
from rstar_common.errors import Overloaded
from rstar_common.formats import MINI, Encoder
from rstar_common.rpc import call, channel
from rstar_ppm.batching import Batcher
from rstar_ppm.layout import ScoringCall
from rstar_ppm.model import CallScores
from rstar_ppm.servicer import PpmServicer
from rstar_ppm.versions import ServedVersion, Versions
from tests.support.eventually import eventually
from tests.support.policy_model import mini_tokenizer

WORK_SECONDS = 0.05


class SlowModel:
    """Takes a while for each call, and longer while its gate is closed."""

    max_length = 10_000
    vocabulary_size = 10**6

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def score(self, calls: Sequence[ScoringCall]) -> list[CallScores]:
        time.sleep(WORK_SECONDS)
        self.gate.wait(timeout=10)
        return [CallScores(scores=(0.5,), computed_tokens=each.tokens) for each in calls]


@asynccontextmanager
async def ppm(model: SlowModel, *, max_wait_seconds: float):
    versions = Versions(grace_seconds=1.0)
    encoder = Encoder(mini_tokenizer(), MINI)
    versions.promote(ServedVersion(version="v1", encoder=encoder, model=model))
    batcher = Batcher(max_batch_tokens=1, on_thread_start=lambda: None)
    server = grpc.aio.server()
    servicer = PpmServicer(
        versions,
        batcher,
        max_inflight=256,
        max_wait_seconds=max_wait_seconds,
        timeout_seconds=30.0,
    )
    ppm_pb2_grpc.add_PpmServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group, channel(f"127.0.0.1:{port}") as connection:
        group.create_task(batcher.run(stop))
        yield ppm_pb2_grpc.PpmServiceStub(connection), batcher
        stop.set()
        await server.stop(grace=None)


def request() -> ppm_pb2.ScoreRequest:
    step = types_pb2.Step(text="print(1)", kind=types_pb2.STEP_KIND_FINAL_CODE, output="1\n")
    return ppm_pb2.ScoreRequest(question="What is 1?", siblings=[step])


async def test_a_call_that_would_wait_too_long_is_refused_with_a_hint_and_later_admitted():
    model = SlowModel()
    async with ppm(model, max_wait_seconds=WORK_SECONDS / 2) as (stub, batcher):
        await call(stub.Score(request()))  # now the pace is known
        assert batcher.wait_seconds == 0.0
        model.gate.clear()
        admitted = asyncio.ensure_future(call(stub.Score(request())))
        await eventually(lambda: batcher.wait_seconds > 0)
        assert batcher.wait_seconds >= WORK_SECONDS
        with pytest.raises(Overloaded) as refusal:
            await call(stub.Score(request()))
        assert refusal.value.retry_after_seconds >= 0.1
        model.gate.set()
        await admitted
        await call(stub.Score(request()))


async def test_callers_that_left_make_nobody_wait():
    model = SlowModel()
    async with ppm(model, max_wait_seconds=60.0) as (stub, batcher):
        await call(stub.Score(request()))
        model.gate.clear()
        calls = [stub.Score(request()) for _ in range(5)]
        await eventually(lambda: batcher.wait_seconds > 4.5 * WORK_SECONDS)
        for pending in calls:
            pending.cancel()
        await eventually(lambda: batcher.wait_seconds == 0.0)
        model.gate.set()
        await call(stub.Score(request()))
