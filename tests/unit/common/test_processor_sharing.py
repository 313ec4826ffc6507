"""An engine that shares its speed: ends are computed, so they can be checked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rstar_common.processor_sharing import EngineSpeed, ProcessorSharing

SPEED = EngineSpeed(running=3, per_sequence=10.0, total=20.0)


def ends(engine: ProcessorSharing) -> dict[int, float]:
    """When each sequence ends if nothing else arrives."""
    found = {}
    while (end := engine.next_end()) is not None:
        for ticket in engine.completed(end):
            found[ticket] = end
    return found


def test_a_sequence_alone_runs_at_its_own_speed():
    engine = ProcessorSharing(SPEED)
    ticket = engine.submit(1.0, 50)
    assert ends(engine) == {ticket: pytest.approx(6.0)}


def test_three_share_what_the_engine_has_and_the_fourth_waits_for_a_place():
    engine = ProcessorSharing(SPEED)
    first, second, third, fourth = (engine.submit(0.0, tokens) for tokens in (20, 40, 60, 20))
    # 20/3 a second each until the first ends at 3 s; the fourth takes its place.
    found = ends(engine)
    assert found[first] == pytest.approx(3.0)
    assert found[second] == pytest.approx(6.0)
    assert found[fourth] == pytest.approx(6.0)
    assert found[third] == pytest.approx(8.0)  # alone from 6 s on, 20 left at 10 a second


def test_asking_late_changes_no_end_and_loses_no_speed():
    engine = ProcessorSharing(SPEED)
    for tokens in (20, 40, 60):
        engine.submit(0.0, tokens)
    assert engine.completed(100.0) == [0, 1, 2]
    assert engine.tokens == pytest.approx(120)


def test_an_aborted_sequence_frees_its_place_and_its_share():
    engine = ProcessorSharing(EngineSpeed(running=2, per_sequence=10.0, total=10.0))
    first, second, third = (engine.submit(0.0, 50) for _ in range(3))
    assert engine.abort(2.0, first) == pytest.approx(10)  # as of each of the two that run
    assert engine.abort(2.0, third) == 0
    assert ends(engine) == {second: pytest.approx(6.0)}
    assert engine.abort(7.0, second) == 0  # ended: nothing happens
    assert engine.idle


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 200)), min_size=1, max_size=30))
def test_no_token_is_lost_or_invented(arrivals):
    engine = ProcessorSharing(SPEED)
    done = []
    for when, tokens in sorted(arrivals):
        done += engine.completed(when)
        engine.submit(when, tokens)
    found = ends(engine)
    assert sorted([*done, *found]) == list(range(len(arrivals)))
    assert engine.tokens == pytest.approx(sum(tokens for _, tokens in arrivals))
