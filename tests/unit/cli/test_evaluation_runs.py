"""What an evaluation remembers of its searches."""

from __future__ import annotations

import pytest

from rstar_cli.evaluation.record import Record, Try
from rstar_cli.evaluation.run_directory import RunDirectory


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_search_is_remembered_whatever_its_answer_holds(tmp_path, separator):
    run = RunDirectory(tmp_path / "run", {"set": "toy"})
    searched = record("p", answer=f"1{separator}2")
    run.add_record("mcts-1", searched)
    run.add_verdict(("p", searched.answer), "equal")
    again = RunDirectory(tmp_path / "run", {"set": "toy"})
    assert again.records("mcts-1") == {"p": searched}
    assert again.verdicts() == {("p", searched.answer): "equal"}


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
