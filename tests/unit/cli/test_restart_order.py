"""In which order a rolling restart replaces services."""

from __future__ import annotations

import pytest

from rstar_cli.local.rolling import chosen
from rstar_cli.local.state import StackOptions, create
from rstar_common.errors import InvalidInput


@pytest.fixture
def state(tmp_path):
    return create(tmp_path, StackOptions(searchers=2))


def test_callers_come_after_what_they_call_and_the_trainer_after_readers_of_its_manifests(state):
    everything = ["sandbox", "policy", "ppm", "trainer", "searcher1", "searcher2"]
    assert chosen(state, []) == everything
    assert sorted(state.services) == sorted(everything)


def test_the_order_of_names_does_not_matter_and_one_may_mean_several(state):
    assert chosen(state, ["searcher", "trainer", "searcher2", "ppm"]) == [
        "ppm",
        "trainer",
        "searcher1",
        "searcher2",
    ]


def test_a_service_that_is_not_here_is_named(state):
    with pytest.raises(InvalidInput, match="no 'searcher3' here"):
        chosen(state, ["policy", "searcher3"])
