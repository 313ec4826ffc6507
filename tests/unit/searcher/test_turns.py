"""Whose turn it is when tenants share a searcher."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from rstar_searcher.turns import Turns


def test_with_one_place_turns_go_by_weight():
    turns = Turns({"heavy": 3, "light": 1})
    taken = Counter()
    for _ in range(400):
        name = turns.order()[0]
        turns.taken(name)
        turns.ended(name)
        taken[name] += 1
    assert taken == {"heavy": 300, "light": 100}


def test_with_many_places_the_places_go_by_weight():
    turns = Turns({"heavy": 3, "light": 1})
    taken = Counter()
    for _ in range(8):
        name = turns.order()[0]
        turns.taken(name)
        taken[name] += 1
    assert taken == {"heavy": 6, "light": 2}


def test_who_was_away_is_served_at_once_and_gathers_no_credit():
    turns = Turns({"busy": 1, "rare": 1})
    for _ in range(1000):  # alone
        turns.taken("busy")
        turns.ended("busy")
    served = []
    for _ in range(10):
        served.append(turns.order()[0])
        turns.taken(served[-1])
        turns.ended(served[-1])
    assert served[0] == "rare"
    assert Counter(served) == {"busy": 5, "rare": 5}


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.floats(0.1, 100), min_size=2),
    st.integers(1, 200),
)
def test_of_two_who_always_ask_neither_is_ahead_by_more_than_a_turn_each(weights, turns_taken):
    turns, taken = Turns(weights), Counter()
    for _ in range(turns_taken):
        name = turns.order()[0]
        turns.taken(name)
        turns.ended(name)
        taken[name] += 1
    for a, b in combinations(weights, 2):
        ahead = abs(taken[a] / weights[a] - taken[b] / weights[b])
        assert ahead <= (1 / weights[a] + 1 / weights[b]) * 1.000001
