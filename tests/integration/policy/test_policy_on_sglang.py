"""The policy service on the real engine; `transformers` says what is right.

The tests share one engine and run in the order written: the later ones swap its weights
and kill it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from rstar.v1 import policy_pb2, policy_pb2_grpc, types_pb2
from rstar_common.errors import DeadlineExceeded, InvalidInput, Unavailable
from rstar_common.formats import MINI, Encoder, Marker, PromptStep, StepKind
from rstar_common.rpc import call, channel
from tests.integration.policy.conftest import Models
from tests.support.eventually import eventually
from tests.support.policy_engine import (
    PolicyService,
    engine_metrics_url,
    engine_pid,
    group_members,
    promote,
)
from tests.support.policy_model import mini_tokenizer

# The engine is up in ten seconds, or in minutes where twenty processes want two cores.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

QUESTION = "What is 12 + 30?"

# At temperature 0 both models go on repeating themselves after this question and meet no stop:
# 57,600 tokens, half a minute on two slow cores and not within a deadline of half a second on any.
ENDLESS = {
    "question": "What is 3 * 7?",
    "num_candidates": 64,
    "max_tokens": 900,
    "temperature": 0.0,
}


async def propose(
    policy: PolicyService, *, deadline_seconds: float = 60, **fields: Any
) -> policy_pb2.ProposeResponse:
    defaults = {"question": QUESTION, "num_candidates": 4, "max_tokens": 24, "seed": 1}
    request = policy_pb2.ProposeRequest(**(defaults | fields))
    async with channel(policy.address) as connection:
        stub = policy_pb2_grpc.PolicyServiceStub(connection)
        return await call(stub.Propose(request, timeout=deadline_seconds))


def oracle(directory: Path, token_ids: list[int]):
    """Log-probabilities of every next token, by transformers in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([token_ids])).logits[0], dim=-1)


def prompt_ids(question: str = QUESTION) -> list[int]:
    return Encoder(mini_tokenizer(), MINI).prompt_ids(question, [])


def engine_running(policy: PolicyService) -> int:
    """Requests the engine holds, by its own metrics."""
    url = engine_metrics_url(engine_pid(policy.service.process.pid))
    with urllib.request.urlopen(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    names = ("sglang:num_running_reqs{", "sglang:num_queue_reqs{")
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names)))


async def test_greedy_tokens_and_their_logprobs_are_those_of_transformers(
    policy_under_test: PolicyService, policy_models: Models
):
    response = await propose(policy_under_test, temperature=0.0, num_candidates=1)
    [candidate] = response.candidates
    generated = list(candidate.step.token_ids)
    prompt = prompt_ids()
    logprobs = oracle(policy_models.first, prompt + generated)
    expected = logprobs[len(prompt) - 1 : -1]
    assert generated == expected.argmax(dim=-1).tolist()
    chosen = [float(expected[i, token]) for i, token in enumerate(generated)]
    assert list(candidate.token_logprobs) == pytest.approx(chosen, abs=1e-3)


async def test_logprobs_are_those_of_temperature_one_whatever_is_sampled_at(
    policy_under_test: PolicyService, policy_models: Models
):
    response = await propose(policy_under_test, temperature=0.5, top_p=0.9, num_candidates=2)
    prompt = prompt_ids()
    for candidate in response.candidates:
        generated = list(candidate.step.token_ids)
        logprobs = oracle(policy_models.first, prompt + generated)[len(prompt) - 1 : -1]
        chosen = [float(logprobs[i, token]) for i, token in enumerate(generated)]
        assert list(candidate.token_logprobs) == pytest.approx(chosen, abs=1e-3)


async def test_candidates_longer_than_enough_of_their_siblings_are_cut_off_at_one_token(
    policy_under_test: PolicyService,
):
    asked = {"num_candidates": 8, "max_tokens": 200, "temperature": 1.0, "seed": 11}
    whole = await propose(policy_under_test, **asked)
    ids = [list(candidate.step.token_ids) for candidate in whole.candidates]
    limit = sorted(map(len, ids))[4]
    cut = await propose(policy_under_test, enough_candidates=5, **asked)
    assert [list(candidate.step.token_ids) for candidate in cut.candidates] == [
        each[:limit] for each in ids
    ]
    longer = [len(each) > limit for each in ids]
    assert any(longer)
    assert not any(c.complete for c, cut_off in zip(cut.candidates, longer, strict=True) if cut_off)


async def test_children_of_different_nodes_in_one_batch_keep_their_logprobs(
    policy_under_test: PolicyService, policy_models: Models
):
    # Prompts of many lengths, partly cached, prefilled and decoded side by side.
    paths = [
        [types_pb2.Step(text="x = 1\n" * lines, kind=types_pb2.STEP_KIND_CODE)]
        for lines in (1, 2, 5, 9)
    ]
    await propose(policy_under_test, path=paths[0], num_candidates=1)
    responses = await asyncio.gather(
        *(
            propose(policy_under_test, path=path, temperature=1.0, num_candidates=3)
            for path in paths
        )
    )
    encoder = Encoder(mini_tokenizer(), MINI)
    for path, response in zip(paths, responses, strict=True):
        prompt = encoder.prompt_ids(
            QUESTION, [PromptStep(text=step.text, kind=StepKind.CODE) for step in path]
        )
        for candidate in response.candidates:
            generated = list(candidate.step.token_ids)
            logprobs = oracle(policy_models.first, prompt + generated)[len(prompt) - 1 : -1]
            chosen = [float(logprobs[i, token]) for i, token in enumerate(generated)]
            assert list(candidate.token_logprobs) == pytest.approx(chosen, abs=1e-3)


async def test_the_same_seed_gives_the_same_steps_whoever_else_is_served(
    policy_under_test: PolicyService,
):
    alone = await propose(policy_under_test, temperature=1.0, seed=3)
    crowd = await asyncio.gather(
        *(propose(policy_under_test, temperature=1.0, seed=seed) for seed in (9, 3, 10))
    )
    texts = [[list(c.step.token_ids) for c in response.candidates] for response in (alone, *crowd)]
    assert texts[0] == texts[2]
    assert texts[0] != texts[1]
    assert len({tuple(ids) for ids in texts[0]}) == 4
    assert len({c.seed for c in alone.candidates}) == 4


async def test_a_step_ends_at_its_marker_and_costs_are_counted(policy_under_test: PolicyService):
    # A random model meets one of its nine markers every thirty tokens or so.
    response = await propose(
        policy_under_test, temperature=1.5, num_candidates=32, max_tokens=400, seed=11
    )
    tokenizer = mini_tokenizer()
    stops = {tokenizer.token_to_id(marker.value) for marker in Marker}
    end_of_step = tokenizer.token_to_id(Marker.END_OF_STEP.value)
    ended = [c for c in response.candidates if c.step.token_ids[-1] in stops]
    assert len(ended) > 16
    for candidate in ended:
        assert not stops & set(candidate.step.token_ids[:-1])
        if candidate.step.token_ids[-1] == end_of_step:
            assert candidate.step.kind == types_pb2.STEP_KIND_CODE
            assert candidate.complete
            assert Marker.END_OF_STEP.value not in candidate.step.text
    assert {c.complete for c in ended} == {True, False}
    cost = response.cost
    assert cost.generated_tokens == sum(len(c.step.token_ids) for c in response.candidates)
    assert cost.prompt_tokens == 32 * len(prompt_ids())
    assert cost.policy_calls == 1


async def test_the_children_of_a_node_find_their_prefix_in_the_cache(
    policy_under_test: PolicyService,
):
    question = "Let x be the number of letters in this rather long question. What is x?"
    await propose(policy_under_test, question=question, temperature=1.0)
    path = [types_pb2.Step(text="x = 1", kind=types_pb2.STEP_KIND_CODE)]
    child = await propose(policy_under_test, question=question, path=path, temperature=1.0)
    assert child.cost.cached_prompt_tokens >= 4 * (len(prompt_ids(question)) - 1)


async def test_a_question_longer_than_the_context_names_its_field(
    policy_under_test: PolicyService,
):
    with pytest.raises(InvalidInput) as failure:
        await propose(policy_under_test, question="z" * 2_000)
    assert failure.value.field == "question"


async def test_a_step_may_fill_the_context_to_its_end(policy_under_test: PolicyService):
    response = await propose(
        policy_under_test, question="z" * 990, num_candidates=2, max_tokens=2048, temperature=0.0
    )
    assert len(response.candidates) == 2


async def test_cancelled_and_late_calls_free_the_engine(policy_under_test: PolicyService):
    async with channel(policy_under_test.address) as connection:
        stub = policy_pb2_grpc.PolicyServiceStub(connection)
        pending = stub.Propose(policy_pb2.ProposeRequest(**ENDLESS))
        await eventually(lambda: engine_running(policy_under_test) > 0)
        pending.cancel()
        await eventually(lambda: engine_running(policy_under_test) == 0, seconds=20.0)
    with pytest.raises(DeadlineExceeded):
        await propose(policy_under_test, deadline_seconds=0.5, **ENDLESS)
    await eventually(lambda: engine_running(policy_under_test) == 0, seconds=20.0)


async def test_a_promoted_checkpoint_is_swapped_in_under_traffic_without_a_failed_call(
    policy_under_test: PolicyService, policy_models: Models
):
    versions: Counter[str] = Counter()
    by_version: dict[str, set[tuple[int, ...]]] = {}
    swapped = asyncio.Event()

    async def client(seed: int) -> None:
        after = 0
        while after < 2:
            after += swapped.is_set()
            response = await propose(policy_under_test, temperature=0.0, seed=seed)
            for candidate in response.candidates:
                versions[candidate.policy_version] += 1
                by_version.setdefault(candidate.policy_version, set()).add(
                    tuple(candidate.step.token_ids)
                )

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client(seed)) for seed in range(4)]
        second = await promote(
            policy_models.second, policy_under_test.nats, policy_under_test.store
        )
        await eventually(lambda: versions[second] > 0, seconds=60)
        swapped.set()
        await asyncio.wait(clients)
    assert len(versions) == 2
    # Greedy: all samples of a version are equal, and the label tells the weights.
    assert [len(samples) for samples in by_version.values()] == [1, 1]
    for version, [tokens] in by_version.items():
        model = policy_models.second if version == second else policy_models.first
        prompt = prompt_ids()
        logprobs = oracle(model, prompt + list(tokens))[len(prompt) - 1 : -1]
        assert list(tokens) == logprobs.argmax(dim=-1).tolist()


async def test_a_killed_engine_is_replaced_and_calls_meanwhile_are_unavailable(
    policy_under_test: PolicyService,
):
    service_pid = policy_under_test.service.process.pid
    killed = engine_pid(service_pid)
    call_in_flight = asyncio.ensure_future(propose(policy_under_test, **ENDLESS))
    await eventually(lambda: engine_running(policy_under_test) > 0)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await call_in_flight
    with pytest.raises(Unavailable):
        await propose(policy_under_test)
    await eventually(lambda: not group_members(killed))

    async with asyncio.timeout(300):
        while True:
            try:
                response = await propose(policy_under_test, temperature=0.0)
                break
            except Unavailable:
                # Searchers wait between attempts too.
                await asyncio.sleep(0.2)
    # It came back with the weights it had, not with those it began with.
    async with channel(policy_under_test.address) as connection:
        stub = policy_pb2_grpc.PolicyServiceStub(connection)
        info = await call(stub.GetPolicyInfo(policy_pb2.GetPolicyInfoRequest()))
    assert {c.policy_version for c in response.candidates} == {info.policy_version}
    assert engine_pid(service_pid) != killed


async def test_health_says_serving_again(policy_under_test: PolicyService):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with grpc.aio.insecure_channel(policy_under_test.address) as connection:
        stub = health_pb2_grpc.HealthStub(connection)
        reply = await stub.Check(health_pb2.HealthCheckRequest(service="rstar.v1.PolicyService"))
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.asyncio(loop_scope="session")  # the process is the session's
async def test_a_service_told_to_stop_finishes_its_calls_and_leaves_no_engine_behind(
    policy_under_test: PolicyService,
):
    process = policy_under_test.service.process
    engine = engine_pid(process.pid)
    assert len(group_members(engine)) >= 3
    pending = asyncio.ensure_future(
        propose(policy_under_test, **(ENDLESS | {"num_candidates": 16, "max_tokens": 300}))
    )
    await eventually(lambda: engine_running(policy_under_test) > 0)
    process.terminate()
    assert len((await pending).candidates) == 16
    async with asyncio.timeout(90):
        assert await process.wait() == 0
    await eventually(lambda: not group_members(engine))
