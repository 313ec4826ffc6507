"""Over HTTP: what is not wanted any more is aborted until it has ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rstar_policy.generation import Sampling
from rstar_policy.sglang_client import SglangClient
from tests.support.eventually import eventually
from tests.support.sglang_workers import serving_http


class Worker:
    """The samples of seeds 1 and 2 end by themselves, the others when they are aborted."""

    def __init__(self) -> None:
        self.aborts: dict[str, asyncio.Event] = {}

    async def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/abort_request":
            self.aborts.setdefault(body["rid"], asyncio.Event()).set()
            return 200, {}
        seed = body["sampling_params"]["sampling_seed"]
        if seed > 2:
            await self.aborts.setdefault(body["rid"], asyncio.Event()).wait()
        return 200, {
            "meta_info": {
                "finish_reason": {"type": "abort" if seed > 2 else "stop"},
                "output_token_logprobs": [[-1.0, token, None] for token in range(seed)],
            }
        }


def sampling(enough: int) -> Sampling:
    return Sampling(
        seeds=[3, 1, 4, 2],
        temperature=1.0,
        top_p=1.0,
        max_new_tokens=8,
        stop_token_ids=[7],
        enough=enough,
    )


async def test_when_enough_samples_have_ended_the_others_are_aborted_by_name():
    worker = Worker()
    async with serving_http(worker.answer) as url:
        client = SglangClient(url, api_key="")
        aborting = asyncio.ensure_future(client.abort_cancelled())
        try:
            generations = await client.generate([1, 2], sampling(enough=2))
        finally:
            aborting.cancel()
            await client.aclose()
    assert [len(each.token_ids) for each in generations] == [3, 1, 4, 2]
    assert [each.aborted for each in generations] == [True, False, True, False]
    assert sorted(request.count(".") for request in worker.aborts) == [0, 2]


class Forgetful:
    """As SGLang: forgets an abort of what it does not know yet, and ends all of an id's prefix."""

    def __init__(self, *, knows_after: int) -> None:
        """It knows of requests once so many aborts have come."""
        self.left = knows_after
        self.aborts: list[str] = []
        self.asked = asyncio.Event()
        self.ended: dict[str, asyncio.Event] = {}

    async def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/abort_request":
            self.aborts.append(body["rid"])
            self.left -= 1
            if self.left < 0:
                for request_id, ended in self.ended.items():
                    if request_id.startswith(body["rid"]):
                        ended.set()
            return 200, {}
        self.ended |= {request_id: asyncio.Event() for request_id in body["rid"]}
        self.asked.set()
        for request_id in body["rid"]:
            await self.ended[request_id].wait()
        return 200, [{"meta_info": {"finish_reason": {"type": "abort"}}} for _ in body["rid"]]


@pytest.mark.parametrize("knows_after", [0, 3])
async def test_a_cancelled_call_is_aborted_until_the_engine_has_ended_it(knows_after: int):
    worker = Forgetful(knows_after=knows_after)
    async with serving_http(worker.answer) as url:
        client = SglangClient(url, api_key="")
        aborting = asyncio.ensure_future(client.abort_cancelled())
        try:
            call = asyncio.ensure_future(client.generate([1, 2], sampling(enough=0)))
            await worker.asked.wait()
            call.cancel()
            await eventually(lambda: all(ended.is_set() for ended in worker.ended.values()))
        finally:
            aborting.cancel()
            await client.aclose()
    assert len(worker.ended) == 4
    # One name begins all others, so one abort is enough.
    assert all(request.startswith(worker.aborts[0]) for request in worker.ended)
