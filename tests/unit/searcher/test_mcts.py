"""The tree and the paper's search, worked by hand."""

from __future__ import annotations

import math

import pytest

from rstar_searcher.model import Candidate, Dropped, Expanded, StepKind, Verdict
from rstar_searcher.settings import Mode, SearchSettings, UnvisitedRule
from rstar_searcher.strategies import Strategy, make_strategy
from rstar_searcher.tree import ROOT, NodeId, Terminal

GUIDED = Mode.TERMINAL_GUIDED


def step(
    sample: int,
    *,
    answer: str | None = None,
    verdict: Verdict | None = None,
    ppm: float | None = None,
    tokens: int = 3,
) -> Expanded:
    return Expanded(
        sample=sample,
        candidate=Candidate(text=f"s{sample}", kind=StepKind.CODE, token_ids=tuple(range(tokens))),
        answer=answer,
        verdict=verdict,
        ppm_score=ppm,
    )


def right(sample: int) -> Expanded:
    return step(sample, answer="1", verdict=Verdict.EQUAL)


def wrong(sample: int) -> Expanded:
    return step(sample, answer="2", verdict=Verdict.UNEQUAL)


def search(**settings: object) -> Strategy:
    defaults: dict[str, object] = {"mode": GUIDED, "parallel_rollouts": 1, "rollouts": 16}
    return make_strategy(SearchSettings(**(defaults | settings)))  # type: ignore[arg-type]


def test_a_rollout_expands_every_node_on_its_way_down():
    mcts = search()
    assert [ask.node for ask in mcts.ask()] == [ROOT]
    mcts.tell(ROOT, [step(0), step(1)], [])
    assert mcts.asked == [NodeId(1)], "the first of equals is descended into at once"
    mcts.tell(NodeId(1), [right(0)], [])
    assert [(b.leaf, b.value) for b in mcts.backups] == [(NodeId(3), 1.0)]


def test_the_worked_example_selection_expansion_and_backup():
    # Root with children A, B. Rollout 1 goes to A (first), finds a wrong answer: -1.
    mcts = search()
    mcts.ask()
    mcts.tell(ROOT, [step(0), step(1)], [])
    mcts.tell(NodeId(1), [wrong(0), right(1)], [])
    tree = mcts.tree
    assert (tree[ROOT].visits, tree[ROOT].value_sum) == (1, -1.0)
    assert (tree[NodeId(1)].visits, tree[NodeId(1)].q) == (1, -1.0)
    assert tree[NodeId(3)].closed
    # Rollout 2: B was never visited, so it comes first; its answer is right: +1.
    mcts.ask()
    assert mcts.asked == [NodeId(2)]
    mcts.tell(NodeId(2), [right(0), wrong(1)], [])
    assert tree[NodeId(2)].q == 1.0
    # Rollout 3: N_root = 2; A: -1 + 2 sqrt(ln 2 / 1) = 0.665, B: 1 + 1.665 -> B.
    assert tree.uct(NodeId(1), exploration=2, rule=UnvisitedRule.FIRST) == pytest.approx(
        -1 + 2 * math.sqrt(math.log(2))
    )
    mcts.ask()
    assert [(b.leaf, b.value) for b in mcts.backups] == [
        (NodeId(3), -1.0),
        (NodeId(5), 1.0),
        (NodeId(6), -1.0),
        (NodeId(4), 1.0),
    ]
    assert mcts.exhausted, "every answer was visited once"
    assert (tree[ROOT].visits, tree[ROOT].value_sum) == (4, 0.0)
    tree.check()


def test_under_the_authors_rule_a_visited_failure_beats_an_unvisited_sibling():
    # rstar-math: with N_parent = 2 a visited child with Q = -1 scores 0.665, unvisited scores 0.
    mcts = search(unvisited_rule=UnvisitedRule.ZERO)
    mcts.ask()
    mcts.tell(ROOT, [step(0), step(1), step(2)], [])
    mcts.tell(NodeId(1), [wrong(0), wrong(1), wrong(2)], [])
    mcts.ask()
    # N_root = 1: ln 1 = 0, so A scores -1 and B 0.
    assert mcts.asked == [NodeId(2)]
    mcts.tell(NodeId(2), [wrong(0), wrong(1)], [])
    # N_root = 2: A and B score -1 + 2 sqrt(ln 2) = 0.665, C still 0.
    mcts.ask()
    assert mcts.asked == [NodeId(3)], "A and B were exhausted before C was looked at"
    assert [backup.leaf for backup in mcts.backups] == [4, 7, 5, 8, 6]


@pytest.mark.parametrize(
    ("child", "value", "terminal"),
    [
        pytest.param(right(0), 1.0, Terminal.ANSWER, id="right answer"),
        pytest.param(wrong(0), -1.0, Terminal.ANSWER, id="wrong answer"),
        pytest.param(
            step(0, answer="?", verdict=Verdict.UNDECIDED), None, Terminal.ANSWER, id="undecided"
        ),
    ],
)
def test_an_answer_is_worth_what_the_judge_says(child, value, terminal):
    mcts = search()
    mcts.ask()
    mcts.tell(ROOT, [child], [])
    [backup] = mcts.backups
    assert backup.value == value
    assert mcts.tree[NodeId(1)].terminal is terminal
    assert mcts.tree[ROOT].visits == (0 if value is None else 1)
    mcts.tree.check()


def test_at_test_time_an_answer_is_worth_its_ppm_score():
    mcts = search(mode=Mode.TEST_TIME)
    mcts.ask()
    mcts.tell(ROOT, [step(0, answer="7", ppm=0.25)], [])
    assert mcts.backups[0].value == 0.25
    node = mcts.tree[NodeId(1)]
    assert (node.visits, node.value_sum) == (2, 0.5), "the prior counts as one visit"
    assert mcts.tree[ROOT].visits == 1, "the prior was not backed up"
    mcts.tree.check()


def test_a_node_without_a_valid_candidate_is_backed_up_once_and_closed():
    mcts = search(parallel_rollouts=4)
    mcts.ask()
    mcts.tell(ROOT, [step(0), step(1)], [])
    assert mcts.asked == [NodeId(1), NodeId(2)]
    failed = Dropped(candidate=Candidate(text="1/0", kind=StepKind.CODE))
    mcts.tell(NodeId(1), [], [failed])
    assert [(b.leaf, b.value) for b in mcts.backups] == [(NodeId(1), -1.0)]
    assert mcts.tree[NodeId(1)].terminal is Terminal.NO_VALID_CANDIDATE
    assert mcts.tree.dropped == [(NodeId(1), failed)]
    mcts.ask()
    assert mcts.asked == [NodeId(2)], "rollouts that waited for it begin again elsewhere"
    mcts.tree.check()


def test_a_trajectory_at_the_depth_limit_is_worth_minus_one():
    mcts = search(max_depth=1)
    mcts.ask()
    mcts.tell(ROOT, [step(0)], [])
    assert [(b.leaf, b.value) for b in mcts.backups] == [(NodeId(1), -1.0)]
    assert mcts.tree[NodeId(1)].terminal is Terminal.LIMIT


def test_a_trajectory_at_the_token_limit_is_worth_minus_one():
    mcts = search(max_trajectory_tokens=5)
    mcts.ask()
    mcts.tell(ROOT, [step(0, tokens=4)], [])
    mcts.tell(NodeId(1), [step(0, tokens=4)], [])
    assert mcts.backups[0].value == -1.0


def test_two_rollouts_never_expand_one_leaf_twice():
    mcts = search(parallel_rollouts=8)
    assert len(mcts.ask()) == 1, "eight rollouts wait for one expansion of the root"
    mcts.tell(ROOT, [step(i) for i in range(3)], [])
    assert [ask.node for ask in mcts.ask()] == [1, 2, 3], "virtual loss spreads them out"
    assert mcts.ask() == []


def test_telling_a_result_twice_changes_nothing():
    mcts = search()
    mcts.ask()
    mcts.tell(ROOT, [step(0), step(1)], [])
    nodes = len(mcts.tree)
    mcts.tell(ROOT, [step(0), step(1)], [])
    assert len(mcts.tree) == nodes


def test_the_search_stops_asking_once_enough_right_answers_were_found():
    mcts = search(stop_after_right=1)
    mcts.ask()
    mcts.tell(ROOT, [right(0), step(1)], [])
    assert mcts.solved
    assert mcts.ask() == []


def test_the_worked_example_of_a_ppm_augmented_search_with_two_rollouts_at_once():
    # Children start at N = 1, W = their PPM score; a rollout under way counts as a visit of -1.
    mcts = search(mode=Mode.PPM_AUGMENTED, parallel_rollouts=2)
    assert [ask.node for ask in mcts.ask()] == [ROOT], "both rollouts wait for the root"
    mcts.tell(ROOT, [step(0, ppm=0.5), step(1, ppm=0.1)], [])
    tree, (a, b) = mcts.tree, (NodeId(1), NodeId(2))
    # Rollout 1: N_root = max(1, 0 + 1 other) = 1, ln 1 = 0: A scores 0.5, B 0.1 -> A.
    # Rollout 2: A = (0.5 - 1) / 2 = -0.25, B = 0.1 -> B. Without virtual loss both took A.
    assert [ask.node for ask in mcts.ask()] == [a, b]
    assert (tree[ROOT].pending, tree[a].pending, tree[b].pending) == (2, 1, 1)
    assert tree.uct(a, exploration=2, rule=UnvisitedRule.FIRST) == pytest.approx(-0.25)
    # B answers first, wrongly: its path gets -1, and its prior stays a visit of its own.
    mcts.tell(b, [wrong(0)], [])
    assert (tree[b].visits, tree[b].value_sum) == (2, pytest.approx(0.1 - 1))
    assert (tree[ROOT].visits, tree[ROOT].value_sum, tree[ROOT].pending) == (1, -1.0, 1)
    assert tree[b].closed, "its only child was visited"
    # Rollout 3 begins: B is closed, so it joins A, which is being expanded: no second ask.
    assert mcts.ask() == []
    assert tree[a].pending == 2
    mcts.tell(a, [right(0), step(1, ppm=-0.2)], [])
    # Rollout 1 takes the unvisited right answer (no PPM score: N = 0, first); +1 to A and root.
    # Rollout 3 then: the answer is closed, the other child is descended into and asked for.
    assert [(backup.leaf, backup.value) for backup in mcts.backups] == [
        (NodeId(3), -1.0),
        (NodeId(4), 1.0),
    ]
    assert (tree[a].visits, tree[a].value_sum, tree[a].pending) == (2, pytest.approx(1.5), 1)
    assert (tree[ROOT].visits, tree[ROOT].value_sum) == (2, 0.0)
    assert mcts.asked == [NodeId(5)]
    tree.check()


def test_a_candidate_whose_code_raised_is_recorded_and_is_no_child():
    mcts = search()
    failed = Dropped(candidate=Candidate(text="1/0", kind=StepKind.CODE))
    mcts.ask()
    mcts.tell(ROOT, [step(0)], [failed])
    assert len(mcts.tree[ROOT].children) == 1
    assert mcts.tree.dropped == [(ROOT, failed)]
    assert not mcts.backups, "it says nothing about its parent"
