"""Golden trees: whole searches of the toy world, as small committed files.

    python -m tests.support.golden_trees        writes them anew

A change of these files is a change of the method: it needs a reason in its commit.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from rstar_searcher.driver import drive
from rstar_searcher.services import Problem
from rstar_searcher.settings import Mode, SearchSettings, Strategy, UnvisitedRule
from rstar_searcher.strategies import make_strategy
from tests.support.toy_world import ToyWorld

DIRECTORY = Path(__file__).parents[1] / "unit" / "searcher" / "golden"
PROBLEM = Problem(question="toy?", reference="3")
_SEQUENTIAL = {"parallel_rollouts": 1, "candidates": 4, "seed": 7}

CASES: dict[str, dict[str, Any]] = {
    "mcts_terminal_guided": {"mode": Mode.TERMINAL_GUIDED, "rollouts": 12, **_SEQUENTIAL},
    "mcts_ppm_augmented": {"mode": Mode.PPM_AUGMENTED, "rollouts": 12, **_SEQUENTIAL},
    "mcts_test_time": {"rollouts": 12, **_SEQUENTIAL},
    "mcts_rule_of_the_authors": {
        "mode": Mode.TERMINAL_GUIDED,
        "rollouts": 12,
        "unvisited_rule": UnvisitedRule.ZERO,
        **_SEQUENTIAL,
    },
    "mcts_two_trees": {"mode": Mode.PPM_AUGMENTED, "trees": 2, "rollouts": 5, **_SEQUENTIAL},
    "mcts_extra_rollouts": {
        "mode": Mode.TERMINAL_GUIDED,
        "rollouts": 1,
        "extra_rollouts": (2, 4, 8),
        **_SEQUENTIAL,
    },
    "step_beam": {"strategy": Strategy.STEP_BEAM, "rollouts": 3, **_SEQUENTIAL},
    "best_of_n": {"strategy": Strategy.BEST_OF_N, "rollouts": 8, **_SEQUENTIAL},
    "majority": {"strategy": Strategy.MAJORITY, "rollouts": 8, **_SEQUENTIAL},
    "greedy": {"strategy": Strategy.GREEDY, **_SEQUENTIAL},
}


async def golden(case: str) -> dict[str, Any]:
    """Search, and tell everything the tree holds, by node key."""
    settings = SearchSettings(**CASES[case]).checked().normalized()
    strategy, world = make_strategy(settings), ToyWorld()
    ended = await drive(
        strategy,
        PROBLEM,
        settings,
        world,
        world.meter,
        cancel=asyncio.Event(),
        on_progress=lambda _: None,
    )
    tree = strategy.tree
    tree.check()
    return {
        "ended_by": ended.value,
        "backups": sorted([tree[b.leaf].key, b.value] for b in strategy.backups),
        "nodes": {
            tree[i].key: {
                "step": step.candidate.text if (step := tree[i].step) else None,
                "seed": step.candidate.seed if step else None,
                "visits": tree[i].visits,
                "value_sum": round(tree[i].value_sum, 12),
                "terminal": terminal.value if (terminal := tree[i].terminal) else None,
            }
            for i in sorted(tree.ids(), key=lambda i: tree[i].key)
        },
    }


def stored(case: str) -> dict[str, Any]:
    """The committed one."""
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{case}.json").read_text())
    return loaded


def main() -> None:
    """Write every golden tree."""
    DIRECTORY.mkdir(exist_ok=True)
    for case in CASES:
        text = json.dumps(asyncio.run(golden(case)), indent=1)
        (DIRECTORY / f"{case}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
