"""Search settings on the wire."""

from __future__ import annotations

import pytest

from rstar.v1 import types_pb2
from rstar_common.errors import InvalidInput
from rstar_searcher.settings import AnswerSelection, Mode, SearchSettings, Strategy
from rstar_searcher.settings_wire import settings_from, settings_to


def test_trees_and_extra_rollouts_are_read_and_echoed():
    wire = types_pb2.SearchSettings(
        trees=4, extra_rollouts=[16, 64, 128], mode=types_pb2.SEARCH_MODE_PPM_AUGMENTED
    )
    settings = settings_from(wire, SearchSettings())
    assert (settings.trees, settings.extra_rollouts) == (4, (16, 64, 128))
    echoed = settings_to(settings)
    assert (echoed.trees, list(echoed.extra_rollouts)) == (4, [16, 64, 128])
    assert settings_from(echoed, SearchSettings()) == settings_from(
        settings_to(settings_from(echoed, SearchSettings())), SearchSettings()
    )


def test_extra_rollouts_at_test_time_are_refused():
    with pytest.raises(InvalidInput) as error:
        settings_from(types_pb2.SearchSettings(extra_rollouts=[16]), SearchSettings())
    assert error.value.field == "settings.extra_rollouts"


def test_how_many_candidates_are_enough_is_a_tree_searchs_to_say():
    wire = types_pb2.SearchSettings(enough_candidates=6)
    settings = settings_from(wire, SearchSettings())
    assert settings_to(settings).enough_candidates == settings.enough_candidates == 6
    wire.strategy = types_pb2.STRATEGY_MAJORITY
    with pytest.raises(InvalidInput) as error:
        settings_from(wire, SearchSettings())
    assert error.value.field == "settings.enough_candidates"


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (SearchSettings(), AnswerSelection.WEIGHTED_MAJORITY),
        (SearchSettings(ppm=False), AnswerSelection.MAJORITY),
        (SearchSettings(mode=Mode.TERMINAL_GUIDED), AnswerSelection.MAJORITY),
        (SearchSettings(strategy=Strategy.BEST_OF_N), AnswerSelection.BEST_PPM),
        (SearchSettings(strategy=Strategy.STEP_BEAM), AnswerSelection.BEST_PPM),
        (SearchSettings(strategy=Strategy.GREEDY), AnswerSelection.MAJORITY),
        (SearchSettings(strategy=Strategy.MAJORITY), AnswerSelection.MAJORITY),
        (SearchSettings(answer_selection=AnswerSelection.MAJORITY), AnswerSelection.MAJORITY),
    ],
)
def test_a_rule_that_nobody_named_is_the_strategys_own_and_echoed(settings, rule):
    echoed = settings_to(settings).answer_selection
    assert types_pb2.AnswerSelection.Name(echoed) == f"ANSWER_SELECTION_{rule.name}"
