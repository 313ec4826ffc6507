"""Two real engines behind SGLang's router: `python -m rstar_policy.bench_router --smg PATH`.

`smg` is SGLang's router, from PyPI; install it where it changes no other package. One policy
service asks two SGLang servers through it, another asks one of them without it, the same
questions with the same seeds. One JSON line tells whether both got the same tokens, and how
the work was spread over the two engines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from rstar.v1 import policy_pb2, policy_pb2_grpc
from rstar_common.processes import HOST, free_ports, process, service
from rstar_common.rpc import call, channel
from rstar_policy.bench_servers import answered, sglang
from rstar_policy.loaded import open_checkpoint

ROOT = Path(__file__).parents[3]
CANDIDATES = 8
ENGINES = 2
CALL_SECONDS = 300.0
ROUTER_SECONDS = 120.0
GENERATED = "sglang:generation_tokens_total{"


@asynccontextmanager
async def router(
    program: str, workers: Sequence[str], policy: str, log: Path
) -> AsyncGenerator[str]:
    """Yield its URL once it passes calls on."""
    port, metrics_port = free_ports(2)
    url = f"http://{HOST}:{port}"
    command = [program, "launch", "--host", HOST, "--port", str(port), "--policy", policy]
    command += ["--prometheus-port", str(metrics_port), "--worker-urls", *workers]
    async with process(command, log=log, environment={}) as child:
        async with asyncio.timeout(ROUTER_SECONDS):
            await answered(url, lambda client: client.check_health(CALL_SECONDS), child, log)
        yield url


async def proposals(
    stub: policy_pb2_grpc.PolicyServiceAsyncStub, questions: Sequence[str], max_tokens: int
) -> list[policy_pb2.ProposeResponse]:
    """Every question at once, each with a seed of its own."""
    return await asyncio.gather(
        *(
            call(
                stub.Propose(
                    policy_pb2.ProposeRequest(
                        question=question,
                        num_candidates=CANDIDATES,
                        temperature=1.0,
                        seed=number,
                        max_tokens=max_tokens,
                    ),
                    timeout=CALL_SECONDS,
                )
            )
            for number, question in enumerate(questions)
        )
    )


async def generated_by(worker: str) -> float:
    """Tokens that one engine has generated, by its own count."""

    def read() -> str:
        with urllib.request.urlopen(f"{worker}/metrics", timeout=30) as reply:  # noqa: S310 ours
            return str(reply.read(), "utf-8")

    lines = (await asyncio.to_thread(read)).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(GENERATED))


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """See the module."""
    checkpoint = await asyncio.to_thread(open_checkpoint, options.model)
    lines = options.problems.read_text().splitlines()[: options.questions]
    questions = [json.loads(line)["question"] for line in lines]
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        workers, stubs = [], []
        for number in range(ENGINES):
            place = directory / f"engine{number}"
            place.mkdir()
            workers.append(await stack.enter_async_context(sglang(checkpoint, place)))
        front = await stack.enter_async_context(
            router(options.smg, workers, options.policy, directory / "router.log")
        )
        for name, settings in (
            ("routed", {"ENGINE_URL": front, "ENGINE_WORKERS": json.dumps(workers)}),
            ("direct", {"ENGINE_URL": workers[0]}),
        ):
            place = directory / name
            place.mkdir()
            settings |= {"MODEL": str(options.model), "CACHE_DIR": str(place / "cache")}
            settings["MAX_INFLIGHT"] = str(2 * CANDIDATES * len(questions))
            address, _ = await stack.enter_async_context(service("policy", place, settings))
            connection = await stack.enter_async_context(channel(address))
            stubs.append(policy_pb2_grpc.PolicyServiceStub(connection))
        before = [await generated_by(worker) for worker in workers]
        routed = await proposals(stubs[0], questions, options.max_tokens)
        spread = [
            round(await generated_by(worker) - earlier)
            for worker, earlier in zip(workers, before, strict=True)
        ]
        direct = await proposals(stubs[1], questions, options.max_tokens)
    pairs = [
        (one, other)
        for left, right in zip(routed, direct, strict=True)
        for one, other in zip(left.candidates, right.candidates, strict=True)
    ]
    same = sum(one.step.token_ids == other.step.token_ids for one, other in pairs)
    return {
        "router_policy": options.policy,
        "engines": ENGINES,
        "questions": len(questions),
        "candidates": len(pairs),
        "same_tokens": same,
        "largest_logprob_difference": max(
            abs(a - b)
            for one, other in pairs
            if one.step.token_ids == other.step.token_ids
            for a, b in zip(one.token_logprobs, other.token_logprobs, strict=True)
        ),
        "tokens": sum(len(one.step.token_ids) for one, _ in pairs),
        "tokens_by_engine": spread,
        "goal_met": same == len(pairs) and all(spread),
    }


def main() -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_policy.bench_router",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--smg", default=shutil.which("smg") or "smg", help="the router's program")
    parser.add_argument("--policy", default="cache_aware", help="how the router spreads calls")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "policy")
    parser.add_argument("--problems", type=Path, default=ROOT / "data/dm_math/heldout.jsonl")
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--max-tokens", type=int, default=64)
    report = asyncio.run(measure(parser.parse_args()))
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }
    sys.stdout.write(json.dumps({"benchmark": "router", "machine": machine, **report}) + "\n")


if __name__ == "__main__":
    main()
