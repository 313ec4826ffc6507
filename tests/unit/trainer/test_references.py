"""A recipe may name models by the run and the round that made them."""

from __future__ import annotations

import pytest

from rstar.v1 import evolution_pb2
from rstar_common.errors import InvalidInput, NotFound
from rstar_trainer.evolution.references import name_versions


def run_of(name: str) -> evolution_pb2.Run:
    if name != "mini":
        raise NotFound(f"no run {name}")
    run = evolution_pb2.Run(run_id=name)
    run.rounds.add(policy_version="policy-a", ppm_version="ppm-a")
    key = "evolution/mini/round-1/problems.txt"
    run.rounds.add(policy_version="policy-b", problems_key=key, problems=7)
    return run


def recipe(**versions: str) -> evolution_pb2.Recipe:
    made = evolution_pb2.Recipe()
    made.rounds.add()
    made.rounds.add(**versions)
    return made


def test_a_round_of_another_run_stands_for_the_models_it_made():
    made = recipe(policy_version="mini:1", ppm_version="mini:0")
    named = name_versions(made, run_of).rounds[1]
    assert (named.policy_version, named.ppm_version) == ("policy-b", "ppm-a")
    assert made.rounds[1].policy_version == "mini:1"


def test_a_round_may_be_searched_by_models_of_another_run():
    named = name_versions(recipe(search_policy="mini:1", search_ppm="mini:0"), run_of).rounds[1]
    assert (named.search_policy, named.search_ppm) == ("policy-b", "ppm-a")


def test_the_problems_of_another_round_are_the_object_that_it_wrote():
    named = name_versions(recipe(problems_of="mini:1"), run_of).rounds[1]
    assert (named.problems_of, named.problems) == ("evolution/mini/round-1/problems.txt", 7)
    again = recipe(problems_of=named.problems_of)  # of a run that goes on
    assert name_versions(again, run_of) == again
    with pytest.raises(InvalidInput, match="expected RUN:ROUND"):
        name_versions(recipe(problems_of="checkpoints/current.json"), run_of)
    with pytest.raises(InvalidInput, match="mini:0 has searched nothing") as refused:
        name_versions(recipe(problems_of="mini:0"), run_of)
    assert refused.value.field == "rounds[1].problems_of"


def test_a_version_stays_what_it_is():
    made = recipe(policy_version="policy-c")
    assert name_versions(made, run_of) == made


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("other:0", "no run other"),
        ("mini:2", "has not begun round 2"),
        ("mini:", "expected RUN:ROUND"),
        ("mini:-1", "expected RUN:ROUND"),
        (f"mini:{'9' * 5000}", "expected RUN:ROUND"),
        ("mini:1", "has made no ppm"),
    ],
)
def test_what_no_round_made_is_refused_by_its_field(given: str, why: str):
    with pytest.raises(InvalidInput, match=why) as refused:
        name_versions(recipe(ppm_version=given), run_of)
    assert refused.value.field == "rounds[1].ppm_version"


def test_a_run_from_elsewhere_keeps_what_its_names_stood_for_there():
    asked = recipe(policy_version="theirs:1", ppm_version="mini:0", problems_of="theirs:0")
    known = recipe(policy_version="policy-z", ppm_version="ppm-old", problems_of="evolution/t/x")
    known.rounds[1].problems = 5
    named = name_versions(asked, run_of, known=known).rounds[1]
    assert (named.policy_version, named.ppm_version) == ("policy-z", "ppm-a")
    assert (named.problems_of, named.problems) == ("evolution/t/x", 5)
    asked.rounds.add(policy_version="theirs:1")  # which is new to it
    with pytest.raises(InvalidInput, match="no run theirs"):
        name_versions(asked, run_of, known=known)
