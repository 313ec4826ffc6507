"""What an evaluation remembers of its searches."""

from __future__ import annotations

import pytest

from rstar_cli.evaluation.record import Record, Try
from rstar_cli.evaluation.run_directory import RunDirectory
from rstar_cli.evaluation.versions import answered_by, differ, named, remarks


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_search_is_remembered_whatever_its_answer_holds(tmp_path, separator):
    run = RunDirectory(tmp_path / "run", {"set": "toy"})
    searched = record("p", answer=f"1{separator}2")
    run.add_record("mcts-1", searched)
    run.add_verdict(("p", searched.answer), "equal")
    again = RunDirectory(tmp_path / "run", {"set": "toy"})
    assert again.records("mcts-1") == {"p": searched}
    assert again.verdicts() == {("p", searched.answer): "equal"}


def test_the_searches_of_every_arm_are_known_and_verdicts_are_none(tmp_path):
    run = RunDirectory(tmp_path / "run", {"set": "toy"})
    run.add_record("mcts-1", record("p"))
    run.add_record("pilot-8-sampling-for-mcts-1", record("q"))
    run.add_verdict(("p", "1"), "equal")
    assert [one.problem_id for one in run.every_record()] == ["p", "q"]


OLD = {"policy": ["policy-a"], "ppm": ["ppm-a"]}


@pytest.mark.parametrize(
    ("answered", "served", "other"),
    [
        ([], OLD, False),
        ([{"policy": "policy-a", "ppm": "ppm-a", "sandbox": "s"}], OLD, False),
        ([{"policy": "policy-b", "ppm": "ppm-a"}], OLD, True),
        ([{"policy": "policy-a", "ppm": "ppm-b"}], OLD, True),
        ([{"policy": "policy-a"}, {"policy": "policy-b"}], OLD, True),
        ([{"policy": "policy-a"}], OLD, False),  # greedy decoding asks no PPM
        ([{}], OLD, False),  # a search that nobody answered
        ([{"policy": "policy-a", "ppm": "ppm-a"}], {"policy": ["policy-a"], "ppm": [""]}, True),
        ([{"policy": "policy-a", "ppm": "ppm-a"}], {"policy": ["policy-a"]}, False),  # not told
        ([{"policy": "policy-a", "ppm": "ppm-a"}], {}, False),
    ],
)
def test_searches_are_those_of_the_models_that_answered_them(answered, served, other):
    records = [record(f"p{n}", **versions) for n, versions in enumerate(answered)]
    assert differ(answered_by(records), served) == other


def test_models_are_named_as_people_read_them():
    assert named({"sandbox": ["s"], **OLD}) == "policy policy-a, PPM ppm-a"
    assert named({"policy": ["a", "b"], "ppm": [""]}) == "policy a and b, no PPM"
    assert named({}) == ""
    assert remarks(OLD, OLD) == []
    [mixture] = remarks({"policy": ["policy-a", "policy-b"]}, {})
    assert "(policy policy-a and policy-b)" in mixture


def record(problem_id: str, *, answer: str = "1", **versions: str) -> Record:
    return Record(
        problem_id=problem_id,
        status="ANSWERED",
        ended_by="ROLLOUTS",
        answer=answer,
        choices={"majority": answer},
        tries=(Try(answer=answer, count=1, score=None),),
        labels={},
        cost={},
        versions=versions,
        search_id=f"s-{problem_id}",
        started=100.0,
        finished=105.0,
    )
