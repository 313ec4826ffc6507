"""Training problems that resemble evaluation problems."""

from __future__ import annotations

import pytest

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.questions import words
from rstar_trainer.evolution.contamination import contaminated, counts
from rstar_trainer.evolution.problems import PoolProblem

HELD_OUT = {"held": [types_pb2.Problem(problem_id="e", question="Let f(x) = 3x. What is f(14)?")]}


def pool(*questions: str) -> list[PoolProblem]:
    return [
        PoolProblem(pool="p", problem=types_pb2.Problem(problem_id=f"t{i}", question=question))
        for i, question in enumerate(questions)
    ]


@pytest.mark.parametrize(
    "question",
    [
        "let  f(x)=3x,  what is f(14)",
        "Let f(x) = 3x. What is f(14)?",
        "$Let f(x) = 3x$ what is f(14)",
    ],
)
def test_case_spacing_and_punctuation_do_not_hide_a_question(question):
    [match] = contaminated(pool(question), HELD_OUT, ngram=0)
    assert (match.problem_id, match.evaluation_problem_id, match.how) == ("t0", "e", "text")


def test_another_number_makes_another_question():
    assert not contaminated(pool("Let f(x) = 3x. What is f(15)?"), HELD_OUT, ngram=0)


def test_a_shared_run_of_words_is_found_at_the_length_asked_for():
    near = "Suppose we let f(x) = 3x. What is f(14) plus one?"
    assert len(words(near)) > len(words(HELD_OUT["held"][0].question))
    [match] = contaminated(pool(near), HELD_OUT, ngram=8)
    assert match.how == "ngram"
    assert not contaminated(pool(near), HELD_OUT, ngram=20)


def test_what_was_left_out_is_counted_by_pool_set_and_how():
    def match(how: str) -> evolution_pb2.Contaminated:
        return evolution_pb2.Contaminated(pool="p", evaluation_set="held", how=how)

    found = counts([match("text"), match("ngram"), match("text")])
    assert [(one.pool, one.evaluation_set, one.how, one.count) for one in found] == [
        ("p", "held", "ngram", 1),
        ("p", "held", "text", 2),
    ]
