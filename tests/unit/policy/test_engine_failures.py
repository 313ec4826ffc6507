"""What counts as a failed call of the engine: `RstarEngineFails` goes by it."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from rstar_common.errors import Unavailable
from rstar_common.processes import free_ports
from rstar_policy.generation import Sampling
from rstar_policy.sglang_client import SglangClient

GREEDY = Sampling(seeds=[1], temperature=0.0, top_p=1.0, max_new_tokens=8, stop_token_ids=[7])


def failures() -> float:
    return REGISTRY.get_sample_value("rstar_policy_engine_failures_total") or 0.0


async def test_asking_whether_an_engine_is_up_yet_is_no_failed_call_and_generating_is():
    [port] = free_ports(1)
    client = SglangClient(f"http://127.0.0.1:{port}", api_key="")
    before = failures()
    try:
        with pytest.raises(Unavailable):
            await client.check_health(1.0)
        with pytest.raises(Unavailable):
            await client.model_info()
        assert failures() == before
        with pytest.raises(Unavailable):
            await client.generate([1, 2], GREEDY)
        assert failures() == before + 1
    finally:
        await client.aclose()
