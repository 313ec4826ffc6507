"""The searches that are compared: one strategy at one number of trajectories is an arm.

`trajectories` is what the paper varies: independent trees for MCTS, the beam's width for the
step beam, samples for best-of-n and majority.
"""

from __future__ import annotations

from dataclasses import dataclass

from rstar.v1 import types_pb2
from rstar_common.errors import InvalidInput

SAMPLING = (types_pb2.STRATEGY_BEST_OF_N, types_pb2.STRATEGY_MAJORITY, types_pb2.STRATEGY_GREEDY)
"""Strategies whose trajectories are independent."""

MAX_TREES = 128
MAX_TRAJECTORIES = 1024

PILOT_TRAJECTORIES = 8
PILOT_PROBLEMS = 16
"""What a sample costs is measured on so many problems before the baseline's number is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One column of the comparison."""

    name: str
    settings: types_pb2.SearchSettings
    trajectories: int
    baseline_of: str = ""
    """The arm whose generated tokens it was given; empty for one that was asked for."""

    @property
    def samples(self) -> int:
        """Independent tries drawn whatever became of them; 0 where tries are not independent."""
        return self.trajectories if self.settings.strategy in SAMPLING else 0


def arm_of(settings: types_pb2.SearchSettings, trajectories: int) -> Arm:
    """The arm that `settings` and a number of trajectories make.

    Raises:
        InvalidInput: the number is not one this strategy can have.
    """
    chosen = types_pb2.SearchSettings()
    chosen.CopyFrom(settings)
    chosen.strategy = chosen.strategy or types_pb2.STRATEGY_MCTS
    strategy = types_pb2.Strategy.Name(chosen.strategy).removeprefix("STRATEGY_").lower()
    limit = MAX_TREES if chosen.strategy == types_pb2.STRATEGY_MCTS else MAX_TRAJECTORIES
    if not 1 <= trajectories <= limit:
        raise InvalidInput(f"{strategy} takes 1 to {limit}", field="--trajectories")
    if chosen.strategy == types_pb2.STRATEGY_GREEDY:
        trajectories = 1
    elif chosen.strategy == types_pb2.STRATEGY_MCTS:
        chosen.trees = trajectories
    else:
        chosen.rollouts = trajectories
    return Arm(
        name=f"{strategy}-{trajectories}".replace("_", "-"),
        settings=chosen,
        trajectories=trajectories,
    )


def sampling_arm(arm: Arm, trajectories: int, *, pilot: bool = False) -> Arm:
    """Independent samples in the place of `arm`, with its temperature, limits and seed.

    The samples are drawn once and read twice, by majority and by best PPM score: at equal
    tokens both, to the token.
    """
    settings = types_pb2.SearchSettings()
    settings.CopyFrom(arm.settings)
    for of_the_tree in ("trees", "candidates", "parallel_rollouts", "exploration"):
        settings.ClearField(of_the_tree)
    settings.strategy = types_pb2.STRATEGY_BEST_OF_N
    settings.rollouts = trajectories
    return Arm(
        name=f"{'pilot' if pilot else 'sampling'}-for-{arm.name}",
        settings=settings,
        trajectories=trajectories,
        baseline_of=arm.name,
    )


def equal_trajectories(tokens_a_problem: float, tokens_a_sample: float) -> int:
    """How many samples cost as many tokens as a problem did."""
    wanted = round(tokens_a_problem / tokens_a_sample) if tokens_a_sample else 1
    return min(MAX_TRAJECTORIES, max(1, wanted))
