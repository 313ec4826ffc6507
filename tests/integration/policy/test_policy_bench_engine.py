"""The simulated engine talks to the service's own SGLang client."""

from __future__ import annotations

import asyncio

from rstar_common.processor_sharing import EngineSpeed
from rstar_policy.bench_engine import SimulatedEngine, handle, length_of
from rstar_policy.generation import Sampling
from rstar_policy.sglang_client import SglangClient

FAST = EngineSpeed(running=1_000, per_sequence=1e6, total=1e9)
STOP = 7


async def test_samples_have_the_lengths_of_their_seeds_and_end_with_a_stop_id():
    engine = SimulatedEngine(FAST)
    server = await asyncio.start_server(lambda r, w: handle(engine, r, w), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = SglangClient(f"http://127.0.0.1:{port}", api_key="")
    sampling = Sampling(
        seeds=[3, 4, 5], temperature=1.0, top_p=1.0, max_new_tokens=80, stop_token_ids=[STOP]
    )
    try:
        both = await asyncio.gather(*(client.generate([1, 2], sampling) for _ in range(2)))
    finally:
        await client.aclose()
        server.close()
    for generations in both:
        lengths = [len(generation.token_ids) for generation in generations]
        assert lengths == [length_of(seed, 80) for seed in sampling.seeds]
        assert all(generation.token_ids[-1] == STOP for generation in generations)
        assert not any(generation.aborted for generation in generations)
