"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rstar.v1 import types_pb2

Home = Annotated[
    Path | None,
    typer.Option(
        envvar="RSTAR_HOME",
        help="State directory of the local stack.",
        show_default="~/.local/state/rstar",
        file_okay=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]
BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch.")]


class Strategy(StrEnum):
    """How the tree is searched."""

    MCTS = "mcts"
    STEP_BEAM = "step-beam"
    BEST_OF_N = "best-of-n"
    MAJORITY = "majority"
    GREEDY = "greedy"


class Mode(StrEnum):
    """What values are backed up; all but `test-time` need references."""

    TEST_TIME = "test-time"
    TERMINAL_GUIDED = "terminal-guided"
    PPM_AUGMENTED = "ppm-augmented"


class Selection(StrEnum):
    """How the final answer is chosen."""

    BEST_PPM = "best-ppm"
    MAJORITY = "majority"
    WEIGHTED_MAJORITY = "weighted-majority"


Rollouts = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Rollouts, beam width or trajectories.")
]
Candidates = Annotated[
    int | None, typer.Option(min=1, max=64, help="Candidate steps at each expansion.")
]
Parallel = Annotated[
    int | None, typer.Option("--parallel", min=1, max=64, help="Rollouts of a tree at once.")
]
Trees = Annotated[
    int | None,
    typer.Option(
        min=1, max=128, help="Independent trees, each with all rollouts; their answers are pooled."
    ),
]
ExtraRollouts = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        max=1024,
        help="Where no rollout was right, so many more; repeat for the next number.",
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the search.")]
StrategyOption = Annotated[Strategy | None, typer.Option(help="How the tree is searched.")]
SelectionOption = Annotated[Selection | None, typer.Option(help="How the answer is chosen.")]
Temperature = Annotated[
    float | None, typer.Option(min=0, max=2, help="Sampling temperature of the policy.")
]
MaxDepth = Annotated[int | None, typer.Option(min=1, max=64, help="Deepest step.")]
Seconds = Annotated[
    float | None, typer.Option("--timeout", min=0.001, help="Seconds one search may take.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The search settings a command was given; what is None is left to the server."""

    rollouts: int | None = None
    candidates: int | None = None
    parallel: int | None = None
    trees: int | None = None
    extra_rollouts: list[int] | None = None
    seed: int | None = None
    strategy: Strategy | None = None
    selection: Selection | None = None
    temperature: float | None = None
    max_depth: int | None = None
    timeout: float | None = None
    mode: Mode = Mode.TEST_TIME
    stop_after_right: int | None = None

    def to_proto(self) -> types_pb2.SearchSettings:
        """As sent."""
        from rstar.v1 import types_pb2

        settings = types_pb2.SearchSettings(
            rollouts=self.rollouts,
            candidates=self.candidates,
            parallel_rollouts=self.parallel,
            trees=self.trees,
            extra_rollouts=self.extra_rollouts,
            seed=self.seed,
            temperature=self.temperature,
            max_depth=self.max_depth,
            stop_after_right=self.stop_after_right,
            mode=types_pb2.SearchMode.Value(f"SEARCH_MODE_{_constant(self.mode)}"),
        )
        if self.strategy:
            settings.strategy = types_pb2.Strategy.Value(f"STRATEGY_{_constant(self.strategy)}")
        if self.selection:
            name = f"ANSWER_SELECTION_{_constant(self.selection)}"
            settings.answer_selection = types_pb2.AnswerSelection.Value(name)
        if self.timeout:
            settings.budget.max_wall_time.FromMilliseconds(int(self.timeout * 1000))
        return settings


def _constant(value: StrEnum) -> str:
    return value.value.upper().replace("-", "_")
