"""(d) Tokens the real PPM computes against distinct tokens in the trees it scored.

Policy and sandbox are simulated and instant; the PPM is the service itself with the
bundled model, so what is counted is what its own prefix cache saved under the order of
calls that the searcher makes.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tokenizers import Tokenizer

from rstar_common.formats import FORMATS, Encoder, PromptStep
from rstar_common.processes import service
from rstar_searcher.bench.driven import comparison_settings
from rstar_searcher.bench.processes import simulated_servers
from rstar_searcher.bench.services import problem_of
from rstar_searcher.clients import GrpcServices, Tiers, connect
from rstar_searcher.driver import drive
from rstar_searcher.meter import Meter
from rstar_searcher.strategies import make_strategy
from rstar_searcher.tree import Tree

GOAL = 1.2
PARALLEL = 2
MODEL = Path(__file__).parents[4] / "models" / "ppm"
FORMAT = "mini"


async def measure_ppm(*, full: bool) -> dict[str, object]:
    """Several searches at once, each scored by the PPM service."""
    problems, rollouts = (12, 12) if full else (8, 6)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rstar-bench-")))
        services, _ = await stack.enter_async_context(
            simulated_servers(directory, parameters="instant-short")
        )
        ppm, _ = await stack.enter_async_context(
            service("ppm", directory, {"MODEL": str(MODEL), "TIMEOUT_SECONDS": "600"})
        )
        tiers = await connect(stack, policy=services, ppm=ppm, sandbox=services)
        started = time.perf_counter()
        searched = await asyncio.gather(*(_search(pid, rollouts, tiers) for pid in range(problems)))
        seconds = time.perf_counter() - started
    encoder = Encoder(Tokenizer.from_file(str(MODEL / "tokenizer.json")), FORMATS[FORMAT])
    computed = sum(meter.ppm_tokens for _, meter in searched)
    distinct = sum(distinct_tokens(tree, pid, encoder) for pid, (tree, _) in enumerate(searched))
    plain = sum(tokens_without_reuse(tree, pid, encoder) for pid, (tree, _) in enumerate(searched))
    return {
        "computed_tokens": computed,
        "distinct_tokens": distinct,
        "computed_to_distinct": round(computed / distinct, 3),
        "goal_met": computed <= GOAL * distinct,
        "without_reuse_to_distinct": round(plain / distinct, 2),
        "trees": problems,
        "nodes": sum(len(tree) for tree, _ in searched),
        "calls": sum(meter.ppm_calls for _, meter in searched),
        "scores_per_second": round(sum(len(tree) - 1 for tree, _ in searched) / seconds, 1),
        "seconds": round(seconds, 1),
    }


async def _search(pid: int, rollouts: int, tiers: Tiers) -> tuple[Tree, Meter]:
    settings = comparison_settings(rollouts=rollouts, parallel=PARALLEL)
    meter = Meter()
    strategy = make_strategy(settings)
    await drive(
        strategy,
        problem_of(pid),
        settings,
        GrpcServices(tiers, f"bench-{pid}", meter),
        meter,
        cancel=asyncio.Event(),
        on_progress=lambda _: None,
    )
    return strategy.tree, meter


def distinct_tokens(tree: Tree, pid: int, encoder: Encoder) -> int:
    """Every question and every scored step once, as the PPM's tokenizer cuts them."""
    question = len(encoder.encode(encoder.format.question_pieces(problem_of(pid).question)))
    return question + sum(_tokens(tree, encoder))


def tokens_without_reuse(tree: Tree, pid: int, encoder: Encoder) -> int:
    """What scoring each node's whole prefix by itself would compute."""
    question = len(encoder.encode(encoder.format.question_pieces(problem_of(pid).question)))
    own = _tokens(tree, encoder)
    return sum(
        question + sum(own[ancestor - 1] for ancestor in tree.path_to(node)[1:])
        for node in tree.ids()
        if tree[node].step is not None
    )


def _tokens(tree: Tree, encoder: Encoder) -> list[int]:
    steps = [step for node in tree.ids() if (step := tree[node].step) is not None]
    return [
        len(
            encoder.step_ids(PromptStep(text=step.candidate.text, kind=step.candidate.kind))
            + encoder.encode(
                encoder.format.after_step(
                    PromptStep(text=step.candidate.text, kind=step.candidate.kind)
                )
            )
        )
        for step in steps
    ]
