"""What a run puts back: what was served before it, and never its own candidates."""

from __future__ import annotations

import pytest

from rstar.v1 import evolution_pb2
from rstar_trainer.evolution.serving import remember_served


def run() -> evolution_pb2.Run:
    """A run under way that found `mine` and `my-ppm`."""
    made = evolution_pb2.Run(policy_before="mine", ppm_before="my-ppm")
    made.recipe.rounds.add(bootstrap=True)
    made.recipe.rounds.add(search_policy="asked-for", second_bootstrap=True)
    made.rounds.add(search_policy="first", policy_version="made", ppm_version="made-ppm")
    return made


@pytest.mark.parametrize("candidate", ["first", "made", "asked-for", "bootstrap"])
def test_a_candidate_that_is_served_is_not_what_was_there(candidate: str) -> None:
    noted = run()
    remember_served(noted, policy=candidate, ppm="made-ppm")
    assert (noted.policy_before, noted.ppm_before) == ("mine", "my-ppm")


def test_what_somebody_promoted_meanwhile_is() -> None:
    noted = run()
    remember_served(noted, policy="theirs", ppm="their-ppm")
    assert (noted.policy_before, noted.ppm_before) == ("theirs", "their-ppm")


def test_what_a_new_run_finds_is_kept_whatever_it_is() -> None:
    new = evolution_pb2.Run()
    new.recipe.rounds.add(search_policy="served")
    remember_served(new, policy="served", ppm="")
    assert (new.policy_before, new.ppm_before) == ("served", "")
