"""What the searches of a round gave for each problem, read once from their trees and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rstar_common.artifacts import ObjectStore
from rstar_common.errors import NotFound
from rstar_trainer.dataset import Outcome, parse_tree
from rstar_trainer.evolution.problems import PastResult
from rstar_trainer.tree_store import each_tree


async def past_results(store: ObjectStore, batch_id: str, key: str) -> dict[str, PastResult]:
    """By problem id; counted from the trees of a batch that has ended, then read from `key`."""
    try:
        kept = json.loads(await store.get(key))
        return {name: PastResult(right=one[0], answered=one[1]) for name, one in kept.items()}
    except NotFound:
        pass
    counted = dict(await each_tree(store, batch_id, _count))
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
