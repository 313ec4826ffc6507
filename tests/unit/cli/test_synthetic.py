"""Questions without answers become problems where enough solutions agree."""

from __future__ import annotations

import json

import pytest

from rstar.v1 import tree_pb2, types_pb2
from rstar_cli.problems import read_problems, read_references
from rstar_cli.synthetic import agreed_line
from rstar_common.errors import InvalidInput


def tree(*votes: tuple[str, float], strategy=types_pb2.STRATEGY_MAJORITY) -> tree_pb2.Tree:
    return tree_pb2.Tree(
        search_id="s1",
        problem=types_pb2.Problem(
            problem_id="p1",
            question="How many?",
            answer_kind=types_pb2.ANSWER_KIND_NUMBER,
            labels={"source": "written", "answer": "a label is no answer"},
        ),
        settings=types_pb2.SearchSettings(strategy=strategy),
        result=tree_pb2.SearchResult(
            trajectories=[tree_pb2.Trajectory(answer=text, votes=count) for text, count in votes]
        ),
    )


def test_solutions_that_agree_give_a_line_that_is_read_as_a_problem(tmp_path):
    line = agreed_line(tree(("5", 2), ("7", 2), ("5", 1)), 3)
    path = tmp_path / "synthetic.jsonl"
    path.write_text(line)
    [problem] = read_problems(path)
    assert problem.problem_id == "p1"
    assert problem.question == "How many?"
    assert problem.answer_kind == types_pb2.ANSWER_KIND_NUMBER
    assert problem.labels == {"source": "written", "agreed": "3"}
    assert read_references(path) == {"p1": "5"}
    assert json.loads(line)["agreed"] == 3


@pytest.mark.parametrize("votes", [(), [("5", 2), ("7", 2), ("8", 2)]])
def test_too_few_that_agree_give_none(votes):
    assert agreed_line(tree(*votes), 3) is None


def test_leaves_of_a_tree_are_not_counted_as_solutions():
    with pytest.raises(InvalidInput) as refused:
        agreed_line(tree(("5", 9), strategy=types_pb2.STRATEGY_MCTS), 3)
    assert refused.value.field == "search s1: strategy"
