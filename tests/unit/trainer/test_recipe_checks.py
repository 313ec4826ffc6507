"""What a recipe asks of searches is refused at once, by the field, and not hours later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.errors import InvalidInput
from rstar_trainer.evolution.checks import check_recipe
from rstar_trainer.evolution.rules import goes_further

Change = Callable[[evolution_pb2.Round], object]


def recipe(rounds: int = 1) -> evolution_pb2.Recipe:
    made = evolution_pb2.Recipe(name="r", seed=3)
    made.pools.add(name="train")
    made.evaluation_sets.add(name="held")
    made.resources.environment.update({"A": "1", "B": "2"})
    for _ in range(rounds):
        round_ = made.rounds.add(bootstrap=True)
        round_.search.mode = types_pb2.SEARCH_MODE_TERMINAL_GUIDED
        round_.policy.training.max_steps = 5
        round_.evaluations.add(name="greedy", set="held")
    return made


FAULTS: list[tuple[str, Change]] = [
    ("search.rollouts", lambda r: setattr(r.search, "rollouts", 0)),
    ("search.candidates", lambda r: setattr(r.search, "candidates", 65)),
    ("search.temperature", lambda r: setattr(r.search, "temperature", 2.5)),
    ("search.top_p", lambda r: setattr(r.search, "top_p", 0.0)),
    ("search.extra_rollouts", lambda r: r.search.extra_rollouts.append(5000)),
    ("search.extra_rollouts", lambda r: r.search.extra_rollouts.extend([1] * 9)),
    ("second_search.max_depth", lambda r: setattr(r.second_search, "max_depth", 100)),
    ("evaluations[0].search.trees", lambda r: setattr(r.evaluations[0].search, "trees", 1000)),
    (
        "evaluations[0].search.stop_after_right",
        lambda r: setattr(r.evaluations[0].search, "stop_after_right", 1),
    ),
    ("search.strategy", lambda r: setattr(r.search, "strategy", 99)),
    (
        "search.budget.max_sandbox_seconds",
        lambda r: setattr(r.search.budget, "max_sandbox_seconds", -1.0),
    ),
    (
        "evaluations[0].search.budget.max_wall_time",
        lambda r: r.evaluations[0].search.budget.max_wall_time.FromSeconds(0),
    ),
    (
        "ppm_learn_from_rounds",
        lambda r: (
            setattr(r, "learn_from_rounds", 1),
            setattr(r, "ppm_learn_from_rounds", 2),
        ),
    ),
    ("second_bootstrap", lambda r: setattr(r, "second_bootstrap", True)),
    (
        "second_bootstrap",
        lambda r: (
            setattr(r.second_search, "rollouts", 16),
            setattr(r, "second_bootstrap", True),
        ),
    ),
    ("policy.data_digests", lambda r: r.policy.data_digests.append("0" * 64)),
    ("policy.evaluation_keys", lambda r: r.policy.evaluation_keys.append("set")),
    (
        "gates[0].max_drop",
        lambda r: r.gates.add(evaluation="greedy", max_drop=1.0),
    ),
]


@pytest.mark.parametrize(("field", "change"), FAULTS, ids=[field for field, _ in FAULTS])
def test_what_no_search_may_have_is_refused(field: str, change: Change) -> None:
    made = recipe()
    check_recipe(made, has_policy=False)
    change(made.rounds[0])
    with pytest.raises(InvalidInput) as refused:
        check_recipe(made, has_policy=False)
    assert refused.value.field == f"rounds[0].{field}"


def test_random_programs_are_tried_where_the_policy_failed_and_no_ppm_scores_them() -> None:
    made = recipe(2)
    later = made.rounds[1]
    later.bootstrap = False
    later.second_search.rollouts = 16
    later.second_bootstrap = True
    check_recipe(made, has_policy=False)
    made.rounds[0].ppm.training.max_steps = 5
    later.search.mode = types_pb2.SEARCH_MODE_PPM_AUGMENTED
    with pytest.raises(InvalidInput, match="no PPM knows random programs") as refused:
        check_recipe(made, has_policy=False)
    assert refused.value.field == "rounds[1].second_bootstrap"
    later.second_search.mode = types_pb2.SEARCH_MODE_TERMINAL_GUIDED
    check_recipe(made, has_policy=False)


def test_only_siblings_of_a_tree_are_cut_off() -> None:
    made = recipe()
    made.rounds[0].search.enough_candidates = 2
    check_recipe(made, has_policy=False)
    made.rounds[0].search.strategy = types_pb2.STRATEGY_BEST_OF_N
    with pytest.raises(InvalidInput, match=r"rounds\[0\].search.enough_candidates"):
        check_recipe(made, has_policy=False)


def test_a_recipe_goes_further_that_has_the_same_rounds_and_more() -> None:
    assert goes_further(recipe(3), recipe(2))
    assert not goes_further(recipe(2), recipe(2))
    assert not goes_further(recipe(1), recipe(2))
    other = recipe(2)
    other.rounds[1].problems = 7
    assert not goes_further(recipe(3), other)
    other = recipe(2)
    other.seed = 4
    assert not goes_further(recipe(3), other)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"problems_of": "mini:2", "prefer_new": True}, "rounds[1].prefer_new"),
        ({"problems_of": "mini:2", "max_unsolved_share": 0.3}, "rounds[1].max_unsolved_share"),
        ({"bootstrap": True, "search_policy": "mini:1"}, "rounds[1].search_policy"),
        ({"batch_ids": ["b"], "search_ppm": "mini:1"}, "rounds[1].search_ppm"),
    ],
)
def test_what_a_round_that_is_compared_would_not_do_is_refused(given, field):
    made = evolution_pb2.Recipe(name="r")
    made.pools.add(name="train")
    for _ in range(2):
        made.rounds.add().search.mode = types_pb2.SEARCH_MODE_TERMINAL_GUIDED
    made.rounds[1].MergeFrom(evolution_pb2.Round(**given))
    with pytest.raises(InvalidInput) as refused:
        check_recipe(made, has_policy=True)
    assert refused.value.field == field
