"""The capacity model: demand over rate over utilisation, and figures that say where from."""

from __future__ import annotations

import math

import pytest

from rstar_cli.capacity.model import Prices, changed, plan, profiles
from rstar_common.errors import InvalidInput

ALL = sorted(profiles())


@pytest.mark.parametrize("name", ALL)
def test_no_tier_is_used_beyond_the_utilisation_and_none_has_a_replica_to_spare(name):
    found = plan(profiles()[name], 50_000, utilisation=0.7)
    for tier in found.tiers:
        assert tier.busy <= 0.7
        if tier.name != "searcher":  # which may be many for their places
            one_less = tier.busy * tier.replicas / max(1, tier.replicas - 1)
            assert tier.replicas == 1 or one_less > 0.7


@pytest.mark.parametrize("name", ALL)
def test_twice_the_problems_need_at_most_twice_the_replicas(name):
    profile = profiles()[name]
    once, twice = (plan(profile, target, utilisation=0.7) for target in (30_000, 60_000))
    for one, two in zip(once.tiers, twice.tiers, strict=True):
        assert one.replicas <= two.replicas <= 2 * one.replicas


def test_a_plan_is_what_the_formula_says():
    profile = changed(
        profiles()["qwen-7b"],
        [
            *("expansions_per_problem=10", "candidates=4", "tokens_per_candidate=100"),
            *("policy_tokens_per_second=2000", "ppm_scores_per_second=10"),
            *("sandbox_seconds_per_run=0.5", "seconds_per_problem=30"),
            *("searcher_cpu_seconds_per_expansion=0.01", "searcher_cpu_seconds_per_problem=0.1"),
        ],
    )
    found = plan(profile, 3600, utilisation=0.5)
    tiers = {tier.name: tier for tier in found.tiers}
    assert tiers["policy"].replicas == 4  # 4,000 tokens a second of 2,000, half used
    assert tiers["ppm"].replicas == 8  # 40 scores a second of 10
    assert tiers["sandbox"].replicas == 40  # 20 cores' work
    assert tiers["searcher"].replicas == 1  # 0.2 cores' work, 60 places of 64
    assert found.searches_at_once == 60
    assert found.cost_per_hour(Prices(gpu=2, core=0.1)) == pytest.approx(
        (4 + 8) * 2 + 0.1 * (4 * 8 + 8 * 8 + 40 + 1)
    )


def test_searchers_have_places_for_all_searches_at_once():
    profile = changed(profiles()["qwen-7b"], ["seconds_per_problem=3600"])
    [searcher] = [
        tier for tier in plan(profile, 1_000, utilisation=1.0).tiers if tier.name == "searcher"
    ]
    assert searcher.replicas == math.ceil(1_000 / 64)


@pytest.mark.parametrize(
    ("settings", "named"),
    [(["speed=1"], "speed"), (["candidates=many"], "many"), (["summary=mine"], "summary")],
)
def test_a_figure_that_is_none_is_named(settings, named):
    with pytest.raises(InvalidInput, match=named):
        changed(profiles()["mini-cpu"], settings)


@pytest.mark.parametrize(("target", "utilisation"), [(0, 0.5), (10, 0), (10, 1.5)])
def test_a_target_that_is_none_is_refused(target, utilisation):
    with pytest.raises(InvalidInput):
        plan(profiles()["mini-cpu"], target, utilisation=utilisation)
