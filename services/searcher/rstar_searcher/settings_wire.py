"""Search settings to and from `rstar.v1`: defaults filled in, ceilings kept, values checked."""

from __future__ import annotations

from google.protobuf import duration_pb2

from rstar.v1 import types_pb2
from rstar_common.errors import InvalidInput
from rstar_searcher.settings import (
    AnswerSelection,
    Mode,
    SearchSettings,
    Strategy,
    UnvisitedRule,
)

_STRATEGIES = {
    Strategy.MCTS: types_pb2.STRATEGY_MCTS,
    Strategy.STEP_BEAM: types_pb2.STRATEGY_STEP_BEAM,
    Strategy.BEST_OF_N: types_pb2.STRATEGY_BEST_OF_N,
    Strategy.MAJORITY: types_pb2.STRATEGY_MAJORITY,
    Strategy.GREEDY: types_pb2.STRATEGY_GREEDY,
}
_MODES = {
    Mode.TEST_TIME: types_pb2.SEARCH_MODE_TEST_TIME,
    Mode.TERMINAL_GUIDED: types_pb2.SEARCH_MODE_TERMINAL_GUIDED,
    Mode.PPM_AUGMENTED: types_pb2.SEARCH_MODE_PPM_AUGMENTED,
}
_RULES = {
    UnvisitedRule.FIRST: types_pb2.UNVISITED_RULE_FIRST,
    UnvisitedRule.ZERO: types_pb2.UNVISITED_RULE_ZERO,
}
SELECTIONS = {
    AnswerSelection.BEST_PPM: types_pb2.ANSWER_SELECTION_BEST_PPM,
    AnswerSelection.MAJORITY: types_pb2.ANSWER_SELECTION_MAJORITY,
    AnswerSelection.WEIGHTED_MAJORITY: types_pb2.ANSWER_SELECTION_WEIGHTED_MAJORITY,
}
_PLAIN_FIELDS = (
    "rollouts",
    "candidates",
    "parallel_rollouts",
    "exploration",
    "top_k",
    "temperature",
    "top_p",
    "max_depth",
    "max_step_tokens",
    "max_trajectory_tokens",
    "seed",
    "stop_after_right",
    "enough_candidates",
    "trees",
)


def settings_from(wire: types_pb2.SearchSettings, defaults: SearchSettings) -> SearchSettings:
    """Fill in the server's defaults and check the result.

    Raises:
        InvalidInput: naming the field, as `settings.FIELD`.
    """
    given: dict[str, object] = {
        descriptor.name: value
        for descriptor, value in wire.ListFields()
        if descriptor.name in _PLAIN_FIELDS
    }
    for name, table in (
        ("strategy", _STRATEGIES),
        ("mode", _MODES),
        ("unvisited_rule", _RULES),
        ("answer_selection", SELECTIONS),
    ):
        value = getattr(wire, name)
        if value:
            known = {number: member for member, number in table.items()}
            if value not in known:
                raise InvalidInput(f"unknown value {value}", field=f"settings.{name}")
            given[name] = known[value]
    if wire.extra_rollouts:
        given["extra_rollouts"] = tuple(wire.extra_rollouts)
    budget = wire.budget
    if budget.max_generated_tokens:
        given["max_generated_tokens"] = min(
            budget.max_generated_tokens, defaults.max_generated_tokens
        )
    if budget.max_sandbox_seconds:
        given["max_sandbox_seconds"] = min(budget.max_sandbox_seconds, defaults.max_sandbox_seconds)
    if budget.HasField("max_wall_time"):
        seconds = budget.max_wall_time.ToMilliseconds() / 1000
        given["max_wall_seconds"] = min(seconds, defaults.max_wall_seconds)
    values = {name: getattr(defaults, name) for name in SearchSettings.__dataclass_fields__}
    return SearchSettings(**(values | given)).checked().normalized()


def settings_to(settings: SearchSettings) -> types_pb2.SearchSettings:
    """Settings as they were used, every field set."""
    wire = types_pb2.SearchSettings(
        strategy=_STRATEGIES[settings.strategy],
        mode=_MODES[settings.mode],
        unvisited_rule=_RULES[settings.unvisited_rule],
        answer_selection=SELECTIONS[settings.selection],
        extra_rollouts=settings.extra_rollouts,
        budget=types_pb2.Budget(
            max_generated_tokens=settings.max_generated_tokens,
            max_sandbox_seconds=settings.max_sandbox_seconds,
            max_wall_time=duration_pb2.Duration(
                seconds=int(settings.max_wall_seconds),
                nanos=int(settings.max_wall_seconds % 1 * 1e9),
            ),
        ),
    )
    for name in _PLAIN_FIELDS:
        setattr(wire, name, getattr(settings, name))
    return wire
