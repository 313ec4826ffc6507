"""How one search is to be done: defaults filled in, every value checked.

Defaults follow the paper (rStar-Math section 3 and appendix) except where a server must
bound its cost; results echo what was used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from rstar_common.errors import InvalidInput
from rstar_common.search_ranges import RANGES, check_extra_rollouts, check_range


class Strategy(Enum):
    """How the tree is searched."""

    MCTS = "mcts"
    STEP_BEAM = "step_beam"
    BEST_OF_N = "best_of_n"
    MAJORITY = "majority"
    GREEDY = "greedy"


class Mode(Enum):
    """What values are backed up."""

    TEST_TIME = "test_time"
    TERMINAL_GUIDED = "terminal_guided"
    PPM_AUGMENTED = "ppm_augmented"

    @property
    def uses_reference(self) -> bool:
        """Whether a search of this mode is told the reference answer."""
        return self is not Mode.TEST_TIME


class UnvisitedRule(Enum):
    """How UCT treats a child nobody visited."""

    FIRST = "first"
    ZERO = "zero"


class AnswerSelection(Enum):
    """How the final answer is chosen."""

    BEST_PPM = "best_ppm"
    MAJORITY = "majority"
    WEIGHTED_MAJORITY = "weighted_majority"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """See `rstar.v1.SearchSettings` for each field."""

    strategy: Strategy = Strategy.MCTS
    mode: Mode = Mode.TEST_TIME
    rollouts: int = 8
    candidates: int = 8
    parallel_rollouts: int = 4
    exploration: float = 2.0
    unvisited_rule: UnvisitedRule = UnvisitedRule.FIRST
    answer_selection: AnswerSelection | None = None
    """None: the strategy's own."""

    top_k: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    max_depth: int = 16
    max_step_tokens: int = 2048
    max_trajectory_tokens: int = 4096
    seed: int = 0
    trees: int = 1
    extra_rollouts: tuple[int, ...] = ()
    stop_after_right: int = 0
    enough_candidates: int = 0
    """So many of an expansion's candidates are waited for, the shortest; 0: all."""

    max_generated_tokens: int = 1_000_000
    max_sandbox_seconds: float = 600.0
    max_wall_seconds: float = 300.0
    ppm: bool = True
    """Whether the server has a PPM at all; not a caller's choice."""

    def checked(self) -> SearchSettings:
        """Return these settings if they are possible.

        Raises:
            InvalidInput: naming the field, as `settings.FIELD`.
        """
        for name in RANGES:
            check_range(name, getattr(self, name), field=f"settings.{name}")
        if self.stop_after_right and not self.mode.uses_reference:
            raise InvalidInput(
                "needs a mode that knows the reference", field="settings.stop_after_right"
            )
        if self.enough_candidates and self.strategy not in (Strategy.MCTS, Strategy.STEP_BEAM):
            raise InvalidInput(
                "only siblings of a tree are cut off", field="settings.enough_candidates"
            )
        self._check_extra_rollouts()
        return self

    def _check_extra_rollouts(self) -> None:
        if not self.extra_rollouts:
            return
        field = "settings.extra_rollouts"
        check_extra_rollouts(self.extra_rollouts, field=field)
        if not self.mode.uses_reference:
            raise InvalidInput("needs a mode that knows the reference", field=field)
        if self.strategy is not Strategy.MCTS:
            raise InvalidInput("only mcts can go on where it ended", field=field)

    @property
    def selection(self) -> AnswerSelection:
        """The rule for the final answer: the one asked for, or the strategy's own."""
        if self.answer_selection:
            return self.answer_selection
        if self.strategy is Strategy.MAJORITY or not self.uses_ppm:
            return AnswerSelection.MAJORITY
        if self.strategy is Strategy.MCTS:
            return AnswerSelection.WEIGHTED_MAJORITY  # docs/adr/0009
        return AnswerSelection.BEST_PPM

    @property
    def uses_ppm(self) -> bool:
        """Whether any value of the search comes from the PPM."""
        if not self.ppm or self.mode is Mode.TERMINAL_GUIDED:
            return False
        if self.strategy is Strategy.MAJORITY:
            return self.selection is not AnswerSelection.MAJORITY
        return self.strategy is not Strategy.GREEDY

    def normalized(self) -> SearchSettings:
        """Make implied settings explicit: greedy is one trajectory at temperature 0."""
        if self.strategy is Strategy.GREEDY:
            return replace(self, rollouts=1, candidates=1, trees=1, temperature=0.0)
        return self
