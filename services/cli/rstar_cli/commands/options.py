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


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The search settings a command was given; what is None is left to the server."""

    rollouts: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Rollouts, beam width or trajectories.")
    ] = None
    candidates: Annotated[
        int | None, typer.Option(min=1, max=64, help="Candidate steps at each expansion.")
    ] = None
    parallel: Annotated[
        int | None, typer.Option("--parallel", min=1, max=64, help="Rollouts of a tree at once.")
    ] = None
    enough: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Cut off steps longer than so many of their siblings."),
    ] = None
    trees: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=128,
            help="Independent trees, each with all rollouts; their answers are pooled.",
        ),
    ] = None
    strategy: Annotated[Strategy | None, typer.Option(help="How the tree is searched.")] = None
    selection: Annotated[
        Selection | None,
        typer.Option(
            help="How the answer is chosen; by default mcts votes weighted by PPM score, best-of-n "
            "and step-beam take the best PPM score."
        ),
    ] = None
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="Sampling temperature of the policy.")
    ] = None
    max_depth: Annotated[int | None, typer.Option(min=1, max=64, help="Deepest step.")] = None
    max_step_tokens: Annotated[
        int | None, typer.Option(min=1, max=8192, help="Tokens of a step, at most.")
    ] = None
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the search.")] = None
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Seconds one search may take; at most what the searcher allows (300)."
        ),
    ] = None

    def to_proto(self) -> types_pb2.SearchSettings:
        """As sent."""
        from rstar.v1 import types_pb2

        settings = types_pb2.SearchSettings(
            rollouts=self.rollouts,
            candidates=self.candidates,
            parallel_rollouts=self.parallel,
            enough_candidates=self.enough or 0,
            trees=self.trees,
            seed=self.seed,
            temperature=self.temperature,
            max_depth=self.max_depth,
            max_step_tokens=self.max_step_tokens,
            mode=types_pb2.SEARCH_MODE_TEST_TIME,
        )
        if self.strategy:
            settings.strategy = types_pb2.Strategy.Value(f"STRATEGY_{constant(self.strategy)}")
        if self.selection:
            name = f"ANSWER_SELECTION_{constant(self.selection)}"
            settings.answer_selection = types_pb2.AnswerSelection.Value(name)
        if self.timeout:
            settings.budget.max_wall_time.FromMilliseconds(int(self.timeout * 1000))
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """What only data generation asks for: a search that is told the reference."""

    mode: Annotated[Mode, typer.Option(help="test-time, or data generation.")] = Mode.TEST_TIME
    with_references: Annotated[
        bool, typer.Option("--with-references", help="Send the answers: data generation only.")
    ] = False
    stop_after_right: Annotated[
        int | None, typer.Option(min=0, help="End a search after this many right rollouts.")
    ] = None
    extra_rollouts: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=1024,
            help="Where no rollout was right, so many more; repeat for the next number.",
        ),
    ] = None

    def apply(self, settings: types_pb2.SearchSettings) -> None:
        """Put them into `settings`.

        Raises:
            InvalidInput: a mode and the references do not belong together.
        """
        from rstar.v1 import types_pb2
        from rstar_common.errors import InvalidInput

        if self.with_references and self.mode is Mode.TEST_TIME:
            raise InvalidInput(
                "only with --mode terminal-guided or ppm-augmented", field="--with-references"
            )
        if self.mode is not Mode.TEST_TIME and not self.with_references:
            raise InvalidInput(f"{self.mode.value} needs --with-references", field="--mode")
        settings.mode = types_pb2.SearchMode.Value(f"SEARCH_MODE_{constant(self.mode)}")
        if self.stop_after_right is not None:
            settings.stop_after_right = self.stop_after_right
        settings.extra_rollouts.extend(self.extra_rollouts or [])


def constant(value: StrEnum) -> str:
    """As the protos write it: `best-of-n` is `BEST_OF_N`."""
    return value.value.upper().replace("-", "_")
