"""Votes are those that independent samples would have given, whatever was merged on the way."""

from __future__ import annotations

import pytest

from rstar_common.formats import StepKind
from rstar_searcher.model import Candidate, Expanded
from rstar_searcher.selection import select_answer, trajectories
from rstar_searcher.settings import AnswerSelection
from rstar_searcher.tree import ROOT, NodeId, Terminal, Tree


def expand(tree: Tree, parent: NodeId, *drawn: int, answers: str = "") -> list[NodeId]:
    """Children of a node, each drawn so many times; `answers` end trajectories."""
    children = [
        Expanded(
            sample=index,
            candidate=Candidate(text=f"{parent}.{index}", kind=StepKind.CODE),
            multiplicity=times,
            ppm_score=0.0,
            answer=answers[index] if answers else None,
        )
        for index, times in enumerate(drawn)
    ]
    ids = list(tree.expand(parent, children, ()))
    for child in ids if answers else ():
        tree[child].terminal = Terminal.ANSWER
    return ids


def test_a_step_that_was_drawn_often_counts_below_it_too():
    """Three of four samples begin alike and end in two ways; the fourth answers something else."""
    tree = Tree()
    often, seldom = expand(tree, ROOT, 3, 1)
    expand(tree, often, 4, answers="7")
    expand(tree, seldom, 2, 2, answers="88")
    found = trajectories(tree, candidates=4)
    assert {t.answer: t.votes for t in found if t.answer == "7"} == {"7": 0.75}
    assert sum(t.votes for t in found if t.answer == "8") == pytest.approx(0.25)
    best = select_answer(found, AnswerSelection.MAJORITY, top_k=8)
    assert best is not None
    assert (best.trajectory.answer, best.score) == ("7", pytest.approx(0.75))


def test_samples_that_failed_have_no_vote_and_give_none_to_others():
    tree = Tree()
    first, second = expand(tree, ROOT, 2, 2)
    expand(tree, first, 1, answers="7")  # three of four candidates failed
    expand(tree, second, 2, answers="8")
    best = select_answer(trajectories(tree, candidates=4), AnswerSelection.MAJORITY, top_k=8)
    assert best is not None
    assert best.trajectory.answer == "8"
    assert best.score == pytest.approx(2 / 3)


def test_where_every_sample_goes_its_own_way_the_last_step_knows_them_all():
    tree = Tree()
    [only] = expand(tree, ROOT, 5)
    expand(tree, only, 2, 3, answers="78")
    assert {t.answer: t.votes for t in trajectories(tree)} == {"7": 2.0, "8": 3.0}
