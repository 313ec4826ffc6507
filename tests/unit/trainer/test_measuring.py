"""What is said of an evaluation: means, how sure they are, how a PPM orders trajectories."""

from __future__ import annotations

from random import Random

import pytest

from rstar.v1 import tree_pb2, types_pb2
from rstar_trainer.evolution.measuring import mean_of_shares
from rstar_trainer.evolution.ranking import Scored, ranking, scored_trajectories

RIGHT, WRONG = types_pb2.VERDICT_EQUAL, types_pb2.VERDICT_UNEQUAL


def test_the_mean_is_over_labels_whatever_their_sizes():
    mean, half = mean_of_shares({"a": [True] * 90 + [False] * 10, "b": [False, True]})
    assert mean == pytest.approx(0.7)
    assert 0.2 < half < 0.45  # two answers of b are half of the figure


def test_the_interval_holds_the_true_mean_nineteen_times_in_twenty():
    rng = Random(1)
    rates = [rng.random() for _ in range(40)]
    truth = sum(rates) / len(rates)
    inside = 0
    for _ in range(400):
        drawn = {
            str(label): [rng.random() < rate for _ in range(5)] for label, rate in enumerate(rates)
        }
        mean, half = mean_of_shares(drawn)
        inside += abs(mean - truth) <= half
    assert 0.92 <= inside / 400 <= 0.995


def test_nothing_measured_is_nothing_known():
    assert mean_of_shares({}) == (0.0, 0.0)


def test_every_pair_of_a_right_and_a_wrong_trajectory_counts():
    found = ranking(
        [
            (
                [
                    Scored(answer="4", score=0.9, code_steps=3),
                    Scored(answer="4", score=-0.2, code_steps=1),
                    Scored(answer="5", score=0.1, code_steps=4),
                    Scored(answer="?", score=1.0, code_steps=4),
                ],
                {"4": RIGHT, "5": WRONG, "?": types_pb2.VERDICT_UNDECIDED},
            ),
            ([Scored(answer="1", score=0.5, code_steps=3)], {"1": RIGHT}),
        ]
    )
    assert (found.pairs, found.ordered_rightly) == (2, 1)
    assert (found.multi_step_pairs, found.multi_step_ordered_rightly) == (1, 1)


def test_a_tie_is_not_ordered_rightly():
    same = [Scored(answer=name, score=0.5, code_steps=1) for name in "12"]
    assert ranking([(same, {"1": RIGHT, "2": WRONG})]).ordered_rightly == 0


def test_answers_of_a_tree_come_with_score_and_code_steps():
    tree = tree_pb2.Tree()
    tree.nodes.add(id=0, parent=0)
    tree.nodes.add(id=1, parent=0)
    leaf = tree.nodes.add(
        id=2, parent=1, terminal=tree_pb2.TERMINAL_ANSWER, answer="7", ppm_score=0.25
    )
    leaf.candidate.step.kind = types_pb2.STEP_KIND_FINAL_CODE
    tree.nodes.add(id=3, parent=1, terminal=tree_pb2.TERMINAL_ANSWER, answer="8")  # no score
    tree.nodes.add(id=4, parent=1, terminal=tree_pb2.TERMINAL_LIMIT, ppm_score=0.5)
    assert scored_trajectories(tree) == [Scored(answer="7", score=0.25, code_steps=2)]
