"""What the policy service costs: `python -m rstar_policy.bench` prints one JSON line.

Tokens a second through the service (gRPC, its own process) against the same engine called
directly over HTTP, in alternating rounds with the same prompts and seeds, on real SGLang
with the bundled model and on a simulated engine of 50,000 tokens a second. Callers are
searches: each waits for its answer before it asks again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rstar.v1 import policy_pb2, policy_pb2_grpc
from rstar_common.processes import cpu_seconds, service
from rstar_common.rpc import call, channel
from rstar_policy.bench_servers import sglang, simulated
from rstar_policy.engine import candidate_seed
from rstar_policy.generation import Sampling
from rstar_policy.loaded import Checkpoint, open_checkpoint
from rstar_policy.sglang_client import SglangClient

ROOT = Path(__file__).parents[3]
GOAL = 0.95
CANDIDATES = 8
TEMPERATURE = 1.0

Propose = Callable[[int], Awaitable[int]]
"""Asks the n-th question; returns how many tokens were generated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How the engine is asked."""

    callers: int
    rounds: int
    calls: int
    """Of each round; without end where `seconds` is given."""

    max_tokens: int
    seconds: float = 0.0
    """Length of a round that counts what ends in its last `seconds`, beginning and end of the
    load apart: an engine this fast is not full while callers come or go."""


SGLANG_LOAD = Load(callers=8, rounds=6, calls=24, max_tokens=48)
SIMULATED_LOAD = Load(callers=128, rounds=5, calls=1_000_000, max_tokens=512, seconds=5.0)
WARM_SECONDS = 3.0


async def measure(
    questions: Sequence[str], checkpoint: Checkpoint, url: str, load: Load, directory: Path
) -> dict[str, object]:
    """Alternate rounds of both ways to one engine."""
    settings = {
        "ENGINE_URL": url,
        "MODEL": str(checkpoint.directory),
        "CACHE_DIR": str(directory / "policy"),
        "MAX_INFLIGHT": str(2 * CANDIDATES * load.callers),
    }
    client = SglangClient(url, api_key="")
    async with (
        service("policy", directory, settings) as (address, pid),
        channel(address) as connection,
    ):
        stub = policy_pb2_grpc.PolicyServiceStub(connection)

        async def served(number: int) -> int:
            request = policy_pb2.ProposeRequest(
                question=questions[number % len(questions)],
                num_candidates=CANDIDATES,
                temperature=TEMPERATURE,
                seed=number,
                max_tokens=load.max_tokens,
            )
            response = await call(stub.Propose(request, timeout=300))
            return response.cost.generated_tokens

        async def direct(number: int) -> int:
            prompter = checkpoint.prompter
            generations = await client.generate(
                prompter.prompt_ids(questions[number % len(questions)], ()),
                Sampling(
                    seeds=[candidate_seed(number, index) for index in range(CANDIDATES)],
                    temperature=TEMPERATURE,
                    top_p=1.0,
                    max_new_tokens=load.max_tokens,
                    stop_token_ids=prompter.stop_token_ids,
                    stop_texts=prompter.stop_texts,
                ),
            )
            return sum(len(generation.token_ids) for generation in generations)

        if not load.seconds:
            await _round(direct, load, range(load.calls))  # fills the prefix cache
        await _round(served, load, range(load.callers))
        ratios, rates, cpu, same = [], {"direct": 0.0, "service": 0.0}, 0.0, True
        tokens_served = counted = 0
        for number in range(load.rounds):
            numbers = range(load.calls)
            # Which goes first alternates too: a machine that grows busy favours neither.
            first_direct = number % 2 == 0
            if first_direct:
                plain_tokens, plain, _ = await _round(direct, load, numbers)
            before = cpu_seconds(pid)
            tokens, ours, all_tokens = await _round(served, load, numbers)
            cpu += cpu_seconds(pid) - before
            if not first_direct:
                plain_tokens, plain, _ = await _round(direct, load, numbers)
            tokens_served += all_tokens
            same = same and tokens == plain_tokens
            counted += tokens
            ratios.append((tokens / ours) / (plain_tokens / plain))
            rates["direct"] += plain_tokens / plain / load.rounds
            rates["service"] += tokens / ours / load.rounds
        await client.aclose()
    return {
        "direct_tokens_per_second": round(rates["direct"]),
        "service_tokens_per_second": round(rates["service"]),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_by_round": [round(ratio, 3) for ratio in ratios],
        "goal_met": statistics.median(ratios) >= GOAL,
        # Rounds of a fixed length do not end with the same question.
        "same_tokens": None if load.seconds else same,
        "tokens_a_round": counted // load.rounds,
        "callers": load.callers,
        "candidates": CANDIDATES,
        "service_cpu_us_a_token": round(1e6 * cpu / tokens_served, 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


async def _round(propose: Propose, load: Load, numbers: range) -> tuple[int, float, int]:
    """Tokens and seconds that count of asking the questions of `numbers`, and all tokens."""
    waiting = iter(numbers)
    tokens = generated_tokens = 0
    started = time.perf_counter()
    counted_from = started + (WARM_SECONDS if load.seconds else 0.0)
    counted_until = counted_from + load.seconds if load.seconds else math.inf

    async def caller() -> None:
        nonlocal tokens, generated_tokens
        while time.perf_counter() < counted_until and (number := next(waiting, None)) is not None:
            generated = await propose(number)
            generated_tokens += generated  # not `+= await`: others add meanwhile
            if counted_from <= time.perf_counter() < counted_until:
                tokens += generated

    async with asyncio.TaskGroup() as group:
        for _ in range(load.callers):
            group.create_task(caller())
    return tokens, load.seconds or time.perf_counter() - started, generated_tokens


async def _measure_all(options: argparse.Namespace) -> dict[str, object]:
    checkpoint = await asyncio.to_thread(open_checkpoint, options.model)
    with options.problems.open(encoding="utf-8") as lines:
        questions = [
            json.loads(line)["question"] for line, _ in zip(lines, range(64), strict=False)
        ]
    report: dict[str, object] = {
        "benchmark": "policy",
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "load_average": round(os.getloadavg()[0], 1),
        },
    }
    with tempfile.TemporaryDirectory(prefix="rstar-bench-") as name:
        directory = Path(name)
        if options.engine in ("simulated", "both"):
            async with simulated(directory, tokens_per_second=options.tokens_per_second) as url:
                report["simulated"] = {
                    "tokens_per_second": options.tokens_per_second,
                    **await measure(questions, checkpoint, url, SIMULATED_LOAD, directory),
                }
        if options.engine in ("sglang", "both"):
            async with sglang(checkpoint, directory) as url:
                report["sglang"] = await measure(questions, checkpoint, url, SGLANG_LOAD, directory)
    return report


def main() -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_policy.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--engine", choices=["sglang", "simulated", "both"], default="both")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "policy")
    parser.add_argument("--problems", type=Path, default=ROOT / "data/dm_math/heldout.jsonl")
    parser.add_argument("--tokens-per-second", type=float, default=50_000.0)
    report = asyncio.run(_measure_all(parser.parse_args()))
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
