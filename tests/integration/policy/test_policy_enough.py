"""Over HTTP: once enough samples have ended, the others are aborted and say how far they came."""

from __future__ import annotations

import asyncio
from typing import Any

from rstar_policy.generation import Sampling
from rstar_policy.sglang_client import SglangClient
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
    assert sorted(request[-1] for request in worker.aborts) == ["0", "2"]
