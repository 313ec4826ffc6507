"""(a) The search core alone: how many expansions a second, and what a node weighs."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from random import Random

from rstar_searcher.bench import texts
from rstar_searcher.bench.driven import comparison_settings
from rstar_searcher.bench.parameters import CANDIDATES
from rstar_searcher.model import (
    Candidate,
    Expanded,
    Outcome,
    StepKind,
    Verdict,
    packed_ids,
    packed_logprobs,
)
from rstar_searcher.strategies import make_strategy
from rstar_searcher.tree import Tree

DEPTH = 8
TREE_ROLLOUTS = 64
PARALLEL = 4
VARIANTS = 64
"""Different sets of siblings a depth; made before the clock starts."""

STEP_TOKENS = 60
GOAL_EXPANSIONS = 5_000
GOAL_NODE_BYTES = 8_192

Siblings = list[tuple[Expanded, ...]]


def measure_core(*, seconds: float) -> dict[str, object]:
    """Ask and tell on ready-made results, tree after tree, until `seconds` have passed."""
    rng = Random(0)
    prepared = [[_siblings(rng, depth) for _ in range(VARIANTS)] for depth in range(DEPTH)]
    expansions = trees = 0
    started, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        tree = _search(prepared, rng)
        tree.check()
        expansions += sum(tree[node].expanded for node in tree.ids())
        trees += 1
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    rate = expansions / took
    return {
        "expansions_per_second": round(rate),
        "expansions_per_cpu_second": round(expansions / cpu),
        "expansions": expansions,
        "trees": trees,
        "goal_met": rate >= GOAL_EXPANSIONS,
        **_node_bytes(),
    }


def _search(prepared: Sequence[Siblings], rng: Random) -> Tree:
    strategy = make_strategy(comparison_settings(rollouts=TREE_ROLLOUTS, parallel=PARALLEL))
    while asks := strategy.ask():
        for ask in asks:
            siblings = prepared[strategy.tree[ask.node].depth]
            strategy.tell(ask.node, siblings[rng.randrange(VARIANTS)], ())
    return strategy.tree


def _node_bytes() -> dict[str, object]:
    """Memory of one big tree, its texts apart, as Python counts what it allocates."""
    rng = Random(1)
    gc.collect()
    tracemalloc.start()
    try:
        strategy = make_strategy(comparison_settings(rollouts=32, parallel=PARALLEL))
        while asks := strategy.ask():
            for ask in asks:
                node = strategy.tree[ask.node]
                strategy.tell(ask.node, _siblings(rng, node.depth), ())
        gc.collect()
        allocated, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    tree = strategy.tree
    steps = [step for node in tree.ids() if (step := tree[node].step)]
    text = sum(len(step.candidate.text) for step in steps)
    own = (allocated - text) / len(steps)
    return {
        "node_bytes_beside_text": round(own),
        "node_bytes_goal_met": own <= GOAL_NODE_BYTES,
        "nodes_weighed": len(steps),
        "tokens_a_node": STEP_TOKENS,
    }


def _siblings(rng: Random, depth: int) -> tuple[Expanded, ...]:
    final = depth + 1 == DEPTH
    siblings = []
    for sample in range(CANDIDATES):
        answer = str(rng.randrange(10)) if final else None
        siblings.append(
            Expanded(
                sample=sample,
                candidate=Candidate(
                    text=texts.step_text(0, f"{rng.random()}.{sample}", STEP_TOKENS),
                    kind=StepKind.FINAL_CODE if final else StepKind.CODE,
                    token_ids=packed_ids(rng.randrange(1_000, 32_000) for _ in range(STEP_TOKENS)),
                    token_logprobs=packed_logprobs(-rng.random() for _ in range(STEP_TOKENS)),
                    tokenizer="simulated",
                    policy_version="simulated",
                    output_is_answer=final,
                ),
                outcome=Outcome(stdout=answer or "", wall_seconds=0.01, cpu_seconds=0.01),
                ppm_score=2 * rng.random() - 1,
                ppm_version="simulated",
                sandbox_version="simulated",
                answer=answer,
                verdict=(Verdict.EQUAL if answer == "0" else Verdict.UNEQUAL) if final else None,
            )
        )
    return tuple(siblings)
