"""What the searches of a round gave for each problem, read once from their trees and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from rstar_common.artifacts import ObjectStore, trees_prefix
from rstar_common.errors import NotFound, RstarError, first_leaf
from rstar_trainer.dataset import Outcome, parse_tree
from rstar_trainer.evolution.problems import PastResult

CONCURRENCY = 32


async def past_results(store: ObjectStore, batch_id: str, key: str) -> dict[str, PastResult]:
    """By problem id; counted from the trees of a batch that has ended, then read from `key`."""
    try:
        kept = json.loads(await store.get(key))
        return {name: PastResult(right=one[0], answered=one[1]) for name, one in kept.items()}
    except NotFound:
        pass
    slots = asyncio.Semaphore(CONCURRENCY)
    counted: dict[str, PastResult] = {}

    async def count(tree: str) -> None:
        async with slots:
            problem_id, result = await asyncio.to_thread(_count, await store.get(tree))
            counted[problem_id] = result

    try:
        async with asyncio.TaskGroup() as group:
            async for tree in store.keys(trees_prefix(batch_id)):
                if tree.endswith(".pb"):
                    group.create_task(count(tree))
    except* RstarError as failures:
        # One cause is enough; callers branch on the class.
        raise first_leaf(failures) from failures
    await store.put(key, _to_json(counted))
    return counted


def _count(data: bytes) -> tuple[str, PastResult]:
    tree = parse_tree(data)
    outcomes = [trajectory.outcome for trajectory in tree.trajectories()]
    right = outcomes.count(Outcome.RIGHT)
    return tree.problem_id, PastResult(right=right, answered=right + outcomes.count(Outcome.WRONG))


def _to_json(results: Mapping[str, PastResult]) -> bytes:
    kept = {name: [one.right, one.answered] for name, one in sorted(results.items())}
    return json.dumps(kept).encode()
