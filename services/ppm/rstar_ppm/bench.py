"""Which backend should score: `python -m rstar_ppm.bench` prints one JSON line.

The same trees are scored by our torch service over gRPC and by SGLang's reward mode over
HTTP, directly, without a service of ours before it: an advantage that SGLang is given.
Callers are trees: each waits for its answer before it asks again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rstar.v1 import ppm_pb2, ppm_pb2_grpc, types_pb2
from rstar_common.errors import RstarError
from rstar_common.formats import FORMATS, Encoder, PromptStep, StepKind
from rstar_common.processes import cpu_seconds, group_of, memory_bytes, service
from rstar_common.rpc import call, channel
from rstar_ppm.bench_requests import SIBLINGS, Tree, read_questions, tree_of
from rstar_ppm.bench_sglang import reward_server

ROOT = Path(__file__).parents[3]
PARITY = 1e-4
FORMAT = "mini"

Score = Callable[[ppm_pb2.ScoreRequest], Awaitable[list[float]]]


@dataclass(slots=True)
class Run:
    """One backend on all trees."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    latencies: list[float] = field(default_factory=list[float])
    scores: dict[tuple[int, int], list[float]] = field(
        default_factory=dict[tuple[int, int], list[float]]
    )
    """By tree and request."""

    computed_tokens: int = 0

    def figures(self, distinct_tokens: int) -> dict[str, object]:
        """For the report."""
        count = sum(map(len, self.scores.values()))
        latencies = sorted(self.latencies)
        return {
            "scores_per_second": round(count / self.seconds, 1),
            "cpu_ms_a_score": round(1000 * self.cpu_seconds / count, 2),
            "p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
            "p99_ms": round(1000 * latencies[int(0.99 * len(latencies))], 1),
            "memory_mb": round(self.memory_bytes / 1e6),
            "computed_tokens": self.computed_tokens,
            "computed_to_distinct": round(self.computed_tokens / distinct_tokens, 3),
        }


async def measure(
    *,
    model: Path,
    problems: Path,
    trees: int,
    callers: int,
    batch_tokens: Sequence[int],
    sglang: bool,
) -> dict[str, object]:
    """Our service once for each of `batch_tokens` (0: its default), then SGLang."""
    from tokenizers import Tokenizer

    encoder = Encoder(Tokenizer.from_file(str(model / "tokenizer.json")), FORMATS[FORMAT])
    questions = await asyncio.to_thread(read_questions, problems, trees)
    work = [tree_of(question, seed) for seed, question in enumerate(questions)]
    distinct = sum(
        len(encoder.encode(encoder.format.question_pieces(tree.distinct_texts[0])))
        + sum(len(_step_ids(encoder, text)) for text in tree.distinct_texts[1:])
        for tree in work
    )
    with tempfile.TemporaryDirectory(prefix="rstar-bench-") as name:
        directory = Path(name)
        runs = [await _torch(model, directory, work, callers, most) for most in batch_tokens]
        ours = runs[0]
        report: dict[str, object] = {
            "benchmark": "ppm",
            "machine": {
                "cores": len(os.sched_getaffinity(0)),
                "python": platform.python_version(),
                "load_average": round(os.getloadavg()[0], 1),
            },
            "trees": len(work),
            "callers": callers,
            "calls": sum(len(tree.requests) for tree in work),
            "siblings_a_call": SIBLINGS,
            "distinct_tokens": distinct,
            "torch": ours.figures(distinct),
            "torch_other_batches": {
                most: run.figures(distinct)
                for most, run in zip(batch_tokens[1:], runs[1:], strict=True)
            },
        }
        if not sglang:
            return report
        try:
            other = await _sglang(model, directory, work, callers, encoder)
        except RstarError as error:
            return report | {"sglang": {"failed": str(error)[-2000:]}}
    gap = max(
        abs(a - b)
        for key, scores in ours.scores.items()
        for a, b in zip(scores, other.scores[key], strict=True)
    )
    rate = other.seconds / ours.seconds
    return report | {
        "sglang": other.figures(distinct),
        "largest_difference": float(f"{gap:.2g}"),
        "parity": gap <= PARITY,
        "torch_to_sglang_rate": round(rate, 2),
    }


async def _torch(
    model: Path, directory: Path, work: Sequence[Tree], callers: int, batch_tokens: int
) -> Run:
    settings = {"MODEL": str(model), "TIMEOUT_SECONDS": "600"}
    if batch_tokens:
        settings["MAX_BATCH_TOKENS"] = str(batch_tokens)
    async with (
        service("ppm", directory, settings) as (address, pid),
        channel(address) as connection,
    ):
        stub = ppm_pb2_grpc.PpmServiceStub(connection)
        computed = 0

        async def score(request: ppm_pb2.ScoreRequest) -> list[float]:
            nonlocal computed
            response = await call(stub.Score(request, timeout=300))
            computed += response.computed_tokens
            return list(response.scores)

        await score(work[0].requests[0])  # first use allocates
        computed = 0
        run = await _run(score, work, callers, lambda: cpu_seconds(pid))
        run.memory_bytes = memory_bytes([pid])
        run.computed_tokens = computed
        return run


async def _sglang(
    model: Path, directory: Path, work: Sequence[Tree], callers: int, encoder: Encoder
) -> Run:
    async with reward_server(model, directory) as server:

        async def score(request: ppm_pb2.ScoreRequest) -> list[float]:
            prefix = encoder.prompt_ids(request.question, [_prompt(s) for s in request.path])
            return await server.score(
                [prefix + _step_ids(encoder, step.text) for step in request.siblings]
            )

        await score(work[0].requests[0])
        before = await server.tokens()
        pids = group_of(server.pid)
        run = await _run(score, work, callers, lambda: sum(map(cpu_seconds, pids)))
        run.memory_bytes = memory_bytes(pids)
        after = await server.tokens()
        run.computed_tokens = round((after[0] - before[0]) - (after[1] - before[1]))
        return run


async def _run(score: Score, work: Sequence[Tree], callers: int, cpu: Callable[[], float]) -> Run:
    run = Run()
    waiting = list(enumerate(work))[::-1]
    before, started = cpu(), time.perf_counter()

    async def caller() -> None:
        while waiting:
            index, tree = waiting.pop()
            for number, request in enumerate(tree.requests):
                asked = time.perf_counter()
                run.scores[index, number] = await score(request)
                run.latencies.append(time.perf_counter() - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    run.seconds = time.perf_counter() - started
    run.cpu_seconds = cpu() - before
    return run


def _prompt(step: types_pb2.Step) -> PromptStep:
    return PromptStep(text=step.text, kind=StepKind.CODE)


def _step_ids(encoder: Encoder, text: str) -> list[int]:
    return encoder.step_ids(PromptStep(text=text, kind=StepKind.CODE))


def main() -> None:
    """Measure, print, end."""
    parser = argparse.ArgumentParser(
        prog="python -m rstar_ppm.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "ppm")
    parser.add_argument("--problems", type=Path, default=ROOT / "data/dm_math/heldout.jsonl")
    parser.add_argument("--trees", type=int, default=24)
    parser.add_argument("--callers", type=int, default=8, help="trees at once")
    parser.add_argument(
        "--batch-tokens",
        type=int,
        nargs="+",
        default=[0],
        help="tokens of one forward pass; the first is compared with SGLang; 0: the default",
    )
    parser.add_argument("--no-sglang", action="store_true", help="our service alone")
    options = parser.parse_args()
    report = asyncio.run(
        measure(
            model=options.model,
            problems=options.problems,
            trees=options.trees,
            callers=options.callers,
            batch_tokens=options.batch_tokens,
            sglang=not options.no_sglang,
        )
    )
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
