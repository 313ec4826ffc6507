"""PolicyService over real gRPC, on an engine that does as it is told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from rstar.v1 import policy_pb2, policy_pb2_grpc, types_pb2
from rstar_common.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from rstar_common.formats import StepKind
from rstar_common.rpc import call, channel
from rstar_policy.servicer import PolicyServicer
from tests.support.policy_scripted import ScriptedEngine

MAX_INFLIGHT = 64


@asynccontextmanager
async def policy(
    engine: ScriptedEngine, *, timeout_seconds: float = 30.0
) -> AsyncGenerator[policy_pb2_grpc.PolicyServiceAsyncStub]:
    server = grpc.aio.server()
    servicer = PolicyServicer(
        engine, max_inflight=MAX_INFLIGHT, timeout_seconds=timeout_seconds, max_step_tokens=100
    )
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with channel(f"127.0.0.1:{port}") as connection:
            yield policy_pb2_grpc.PolicyServiceStub(connection)
    finally:
        await server.stop(grace=None)


def request(**fields: Any) -> policy_pb2.ProposeRequest:
    values: dict[str, Any] = {"question": "q", "num_candidates": 2} | fields
    return policy_pb2.ProposeRequest(**values)


async def test_candidates_come_back_with_their_provenance_and_cost():
    async with policy(ScriptedEngine()) as stub:
        response = await call(stub.Propose(request(num_candidates=3)))
    assert [c.step.text for c in response.candidates] == ["step 0", "step 1", "step 2"]
    first = response.candidates[0]
    assert first.step.kind == types_pb2.STEP_KIND_CODE
    assert list(first.step.token_ids) == [1, 2]
    assert list(first.token_logprobs) == [-0.5, -0.25]
    assert (first.step.tokenizer, first.policy_version, first.complete) == ("t1", "v1", True)
    assert not first.HasField("answer")
    cost = response.cost
    assert (cost.generated_tokens, cost.prompt_tokens, cost.cached_prompt_tokens) == (8, 20, 5)
    assert cost.policy_calls == 1
    assert cost.wall_seconds > 0


async def test_the_path_reaches_the_engine_as_it_was_sent():
    engine = ScriptedEngine()
    step = types_pb2.Step(
        text="print(1)",
        kind=types_pb2.STEP_KIND_FINAL_CODE,
        output="1\n",
        token_ids=[3, 4],
        tokenizer="t1",
    )
    async with policy(engine) as stub:
        await call(stub.Propose(request(path=[step], top_p=0, max_tokens=0)))
    [query] = engine.queries
    [seen] = query.path
    assert (seen.text, seen.output, seen.token_ids) == ("print(1)", "1\n", (3, 4))
    assert (query.top_p, query.max_tokens) == (1.0, 100)


@pytest.mark.parametrize(
    ("fields", "culprit"),
    [
        ({"question": " "}, "question"),
        ({"question": "x" * 16_385}, "question"),
        ({"num_candidates": 0}, "num_candidates"),
        ({"num_candidates": 65}, "num_candidates"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"path": [types_pb2.Step(text="x")]}, "path[0].kind"),
    ],
)
async def test_a_request_that_makes_no_sense_names_its_field(fields, culprit):
    engine = ScriptedEngine()
    async with policy(engine) as stub:
        with pytest.raises(InvalidInput) as failure:
            await call(stub.Propose(request(**fields)))
    assert failure.value.field == culprit
    assert engine.queries == []


async def test_past_the_limit_of_sequences_a_call_is_refused_not_queued():
    engine = ScriptedEngine()
    engine.gate.clear()
    async with policy(engine) as stub:
        first = asyncio.ensure_future(call(stub.Propose(request(num_candidates=60))))
        await engine.entered.wait()
        with pytest.raises(Overloaded) as refusal:
            await call(stub.Propose(request(num_candidates=5)))
        assert refusal.value.retry_after_seconds < 1
        assert len(engine.queries) == 1
        engine.gate.set()
        await first
        # The place is free again.
        await call(stub.Propose(request(num_candidates=64)))


async def test_the_callers_deadline_cancels_the_engine():
    engine = ScriptedEngine()
    engine.gate.clear()
    async with policy(engine) as stub:
        with pytest.raises(DeadlineExceeded):
            await call(stub.Propose(request(), timeout=1.0))
        assert engine.entered.is_set()
        await asyncio.wait_for(engine.cancelled.wait(), 30)


async def test_a_cancelled_call_cancels_the_engine_and_frees_its_place():
    engine = ScriptedEngine()
    engine.gate.clear()
    async with policy(engine) as stub:
        pending = stub.Propose(request(num_candidates=64))
        await engine.entered.wait()
        pending.cancel()
        await asyncio.wait_for(engine.cancelled.wait(), 30)
        engine.gate.set()
        await call(stub.Propose(request(num_candidates=64)))


async def test_an_engine_that_takes_too_long_is_unavailable():
    engine = ScriptedEngine()
    engine.gate.clear()
    async with policy(engine, timeout_seconds=0.05) as stub:
        with pytest.raises(Unavailable):
            await call(stub.Propose(request()))


async def test_an_engine_that_is_down_is_unavailable():
    engine = ScriptedEngine()
    engine.failure = Unavailable("the engine is starting")
    async with policy(engine) as stub:
        with pytest.raises(Unavailable, match="starting"):
            await call(stub.Propose(request()))


async def test_the_service_tells_what_is_loaded():
    async with policy(ScriptedEngine()) as stub:
        info = await call(stub.GetPolicyInfo(policy_pb2.GetPolicyInfoRequest()))
    assert (info.policy_version, info.engine, info.max_context_tokens) == ("v1", "scripted", 99)


async def test_a_solution_is_greedy_steps_until_one_is_final():
    engine = ScriptedEngine()
    engine.kinds = [StepKind.CODE, StepKind.CODE, StepKind.FINAL_CODE]
    async with policy(engine) as stub:
        response = await call(stub.Complete(policy_pb2.CompleteRequest(question="q")))
    code, final = types_pb2.STEP_KIND_CODE, types_pb2.STEP_KIND_FINAL_CODE
    assert [each.step.kind for each in response.steps] == [code, code, final]
    assert [len(query.path) for query in engine.queries] == [0, 1, 2]
    assert {(query.num_candidates, query.temperature) for query in engine.queries} == {(1, 0.0)}
    assert [step.token_ids for step in engine.queries[2].path] == [(1, 2), (1, 2)]
    assert (response.cost.policy_calls, response.cost.generated_tokens) == (3, 24)


async def test_a_solution_without_end_stops_where_its_caller_said():
    engine = ScriptedEngine()
    async with policy(engine) as stub:
        asked = policy_pb2.CompleteRequest(question="q", max_steps=5)
        assert len((await call(stub.Complete(asked))).steps) == 5
        unbounded = policy_pb2.CompleteRequest(question="q")
        assert len((await call(stub.Complete(unbounded))).steps) == 32
        with pytest.raises(InvalidInput) as failure:
            await call(stub.Complete(policy_pb2.CompleteRequest(question="q", max_steps=257)))
    assert failure.value.field == "max_steps"
