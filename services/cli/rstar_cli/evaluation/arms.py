"""The searches that are compared: one strategy at one number of trajectories is an arm.

`trajectories` is what the paper varies: independent trees for MCTS, the beam's width for the
step beam, samples for best-of-n and majority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rstar.v1 import types_pb2
from rstar_common.errors import InvalidInput

SAMPLING = (types_pb2.STRATEGY_BEST_OF_N, types_pb2.STRATEGY_MAJORITY, types_pb2.STRATEGY_GREEDY)
"""Strategies whose trajectories are independent."""

OfTheTree = Literal[
    "trees",
    "parallel_rollouts",
    "exploration",
    "unvisited_rule",
    "answer_selection",
    "enough_candidates",
    "candidates",
]
_OF_THE_TREE: Sequence[OfTheTree] = (
    "trees",
    "parallel_rollouts",
    "exploration",
    "unvisited_rule",
    "answer_selection",
    "enough_candidates",
)
"""Settings that mean nothing to a baseline."""

MAX_TREES = 128
MAX_TRAJECTORIES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One column of the comparison."""

    name: str
    settings: types_pb2.SearchSettings
    trajectories: int
    baseline_of: str = ""
    """The arm whose generated tokens it was given; empty for one that was asked for."""

    @property
    def strategy(self) -> str:
        """As people write it: `step-beam`."""
        return strategy_name(self.settings.strategy)

    @property
    def samples(self) -> int:
        """Independent tries drawn whatever became of them; 0 where tries are not independent."""
        return self.trajectories if self.settings.strategy in SAMPLING else 0


def strategy_name(strategy: types_pb2.Strategy.ValueType) -> str:
    """As people write it: `step-beam`."""
    name = types_pb2.Strategy.Name(strategy).removeprefix("STRATEGY_")
    return name.lower().replace("_", "-")


def arm_of(settings: types_pb2.SearchSettings, trajectories: int) -> Arm:
    """The arm that `settings` and a number of trajectories make.

    Raises:
        InvalidInput: the number is not one this strategy can have.
    """
    chosen = types_pb2.SearchSettings()
    chosen.CopyFrom(settings)
    chosen.strategy = chosen.strategy or types_pb2.STRATEGY_MCTS
    strategy = strategy_name(chosen.strategy)
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
        name=f"{strategy}-{trajectories}",
        settings=chosen,
        trajectories=trajectories,
    )


def greedy_arm(settings: types_pb2.SearchSettings) -> Arm:
    """One trajectory at temperature 0, whatever else the settings say."""
    chosen = types_pb2.SearchSettings()
    chosen.CopyFrom(settings)
    chosen.strategy = types_pb2.STRATEGY_GREEDY
    for of_a_search in _OF_THE_TREE:
        chosen.ClearField(of_a_search)
    return Arm(name="greedy", settings=chosen, trajectories=1)


def sampling_arm(arm: Arm, trajectories: int, *, pilot: bool = False) -> Arm:
    """Independent samples in the place of `arm`, with its temperature, limits and seed.

    The samples are drawn once and read by every rule: at equal tokens all, to the token.
    """
    return _in_the_place_of(
        arm, "sampling", types_pb2.STRATEGY_BEST_OF_N, ("candidates",), trajectories, pilot=pilot
    )


def step_beam_arm(arm: Arm, width: int, *, pilot: bool = False) -> Arm:
    """A beam of this width in the place of `arm`, with as many candidates a step."""
    return _in_the_place_of(arm, "step-beam", types_pb2.STRATEGY_STEP_BEAM, (), width, pilot=pilot)


def _in_the_place_of(
    arm: Arm,
    what: str,
    strategy: types_pb2.Strategy.ValueType,
    cleared: Sequence[OfTheTree],
    trajectories: int,
    *,
    pilot: bool,
) -> Arm:
    settings = types_pb2.SearchSettings()
    settings.CopyFrom(arm.settings)
    for of_the_tree in (*_OF_THE_TREE, *cleared):
        settings.ClearField(of_the_tree)
    settings.strategy = strategy
    settings.rollouts = trajectories
    return Arm(
        name=f"pilot-{trajectories}-{what}-for-{arm.name}" if pilot else f"{what}-for-{arm.name}",
        settings=settings,
        trajectories=trajectories,
        baseline_of=arm.name,
    )
