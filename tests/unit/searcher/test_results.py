"""What a result says beside the answer: what every other rule would have chosen."""

from __future__ import annotations

import pytest

from rstar.v1 import tree_pb2, types_pb2
from rstar_common.formats import StepKind
from rstar_searcher.driver import EndedBy
from rstar_searcher.meter import Meter
from rstar_searcher.model import Candidate, Expanded
from rstar_searcher.results import MAX_RECORDED_BYTES, recorded, result_of
from rstar_searcher.services import Problem
from rstar_searcher.settings import AnswerSelection, SearchSettings, Strategy
from rstar_searcher.tree import ROOT, Terminal, Tree


def result(
    *ends: tuple[str, int, float | None], strategy: Strategy = Strategy.MCTS
) -> tree_pb2.SearchResult:
    """Of a tree of one step: answers, how often each was drawn, PPM scores."""
    tree = Tree()
    children = [
        Expanded(
            sample=index,
            candidate=Candidate(text=str(index), kind=StepKind.CODE),
            multiplicity=times,
            ppm_score=score,
            answer=answer,
        )
        for index, (answer, times, score) in enumerate(ends)
    ]
    for child in tree.expand(ROOT, children, ()):
        tree[child].terminal = Terminal.ANSWER
    settings = SearchSettings(
        strategy=strategy, candidates=10, answer_selection=AnswerSelection.MAJORITY, top_k=2
    )
    problem = Problem(question="?")
    return result_of("s", "", problem, settings, tree, Meter(), EndedBy.ROLLOUTS)


def chosen(made: tree_pb2.SearchResult) -> dict[str, tuple[str, float]]:
    prefix = "ANSWER_SELECTION_"
    return {
        types_pb2.AnswerSelection.Name(one.rule).removeprefix(prefix): (one.answer, one.score)
        for one in made.choices
    }


def test_a_result_says_what_every_rule_chooses_of_the_same_trajectories():
    made = result(("liked", 1, 0.9), ("fair", 4, 0.4), ("often", 5, -0.9))
    assert made.answer == "often"
    assert chosen(made) == {
        "BEST_PPM": ("liked", pytest.approx(0.9)),
        "MAJORITY": ("often", pytest.approx(0.5)),
        "WEIGHTED_MAJORITY": ("fair", pytest.approx(4 * 0.7 / (4 * 0.7 + 0.95))),  # of the best two
    }


def test_without_scores_nothing_is_said_of_rules_that_need_them():
    assert chosen(result(("a", 1, None), ("b", 2, None))) == {
        "MAJORITY": ("b", pytest.approx(2 / 3))
    }


def test_where_nothing_was_found_or_one_was_decoded_there_is_no_choice():
    assert not result().choices
    assert not result(("a", 1, 0.5), strategy=Strategy.GREEDY).choices


@pytest.mark.parametrize("printed", ["9" * 65_535, "\ufffd" * 65_535], ids=["digits", "bytes"])
def test_a_result_is_recorded_whatever_its_program_printed(printed: str):
    made = result(("1", 1, 0.5))
    for _ in range(16):
        step = made.solution.add()
        step.text, step.output = "print(x)", printed
    kept = recorded(made)
    assert kept.ByteSize() < MAX_RECORDED_BYTES < made.ByteSize()
    assert [step.text for step in kept.solution] == [step.text for step in made.solution]
    assert kept.solution[-1].output == printed[:400]
    assert (kept.answer, kept.search_id, len(kept.trajectories)) == ("1", "s", 0)


def test_a_result_of_huge_programs_is_recorded_without_them():
    made = result(("1", 1, 0.5))
    made.solution.add().text = "x" * MAX_RECORDED_BYTES
    kept = recorded(made)
    assert not kept.solution
    assert kept.answer == "1"


def test_a_small_result_is_recorded_as_it_is():
    made = result(("1", 1, 0.5))
    made.solution.add().output = "9" * 10_000
    assert recorded(made).solution == made.solution
