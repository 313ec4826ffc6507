"""What else the same tokens would have bought: the equal-compute baselines of a tree search.

Greedy decoding, independent samples (read by every rule of choosing) and a step
beam. How many samples, or how wide a beam, cost what the tree did is measured by a pilot on
a few problems, against what the tree spent on those same problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rstar.v1 import types_pb2
from rstar_cli.connection import Endpoints
from rstar_cli.evaluation.arms import (
    MAX_TRAJECTORIES,
    Arm,
    greedy_arm,
    sampling_arm,
    step_beam_arm,
)
from rstar_cli.evaluation.record import Record, total
from rstar_cli.evaluation.run_directory import RunDirectory
from rstar_cli.evaluation.searching import search_arm
from rstar_cli.problems import FileProblem
from rstar_common.spread import spread

Searched = tuple[Arm, list[Record]]

PILOT_PROBLEMS = 40
PILOT_SIZE = 8

PILOTS = {sampling_arm: 1, step_beam_arm: 2}
"""Baselines, and how often to try: the tokens of samples are in proportion to their number, those
of a beam not quite to its width, so there the first pilot aims and the second corrects."""


async def baselines_of(
    where: Endpoints,
    run: RunDirectory,
    searched: Sequence[Searched],
    problems: Sequence[FileProblem],
    *,
    quiet: bool,
) -> list[Searched]:
    """The baselines of every tree search among `searched`; greedy once for all."""
    trees = [one for one in searched if one[0].settings.strategy == types_pb2.STRATEGY_MCTS]
    found: list[Searched] = []
    if trees:
        arm = greedy_arm(trees[0][0].settings)
        found.append((arm, await search_arm(where, run, arm, problems, quiet=quiet)))
    few = spread(problems, PILOT_PROBLEMS)
    for tree, its in trees:
        spent = _tokens(its, few)
        for baseline, pilots in PILOTS.items():
            tried: dict[int, float] = {}
            size = PILOT_SIZE
            while size not in tried and len(tried) < pilots:
                pilot = baseline(tree, size, pilot=True)
                records = await search_arm(where, run, pilot, few, quiet=quiet)
                tried[size] = _tokens(records, few)
                size = equal_size(tried, spent)
            arm = baseline(tree, size)
            found.append((arm, await search_arm(where, run, arm, problems, quiet=quiet)))
    return found


def equal_size(tried: Mapping[int, float], spent: float) -> int:
    """The size that should cost `spent` tokens, in proportion to the nearest that was tried."""
    size, tokens = min(tried.items(), key=lambda one: abs(one[1] - spent))
    wanted = round(size * spent / tokens) if tokens else 1
    return min(MAX_TRAJECTORIES, max(1, wanted))


def _tokens(records: Sequence[Record], problems: Sequence[FileProblem]) -> float:
    wanted = {problem.problem_id for problem in problems}
    few = [record for record in records if record.problem_id in wanted]
    return total(few)["generated_tokens"]
