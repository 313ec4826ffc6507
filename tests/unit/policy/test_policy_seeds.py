"""The seeds of candidates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rstar_policy.engine import candidate_seed


def test_seeds_never_change_between_releases():
    assert candidate_seed(7, 0) == 5937957829547101013
    assert candidate_seed(7, 1) == 7435288562186098398


def test_neighbouring_seeds_and_candidates_share_nothing():
    seeds = {candidate_seed(seed, index) for seed in range(50) for index in range(64)}
    assert len(seeds) == 50 * 64


@given(st.integers(0, 2**64 - 1), st.integers(0, 63))
def test_a_seed_fits_a_signed_integer(seed, index):
    assert 0 <= candidate_seed(seed, index) < 2**63
