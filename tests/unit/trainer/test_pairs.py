"""Preference pairs of a tree made by hand: exactly these, and no others."""

from __future__ import annotations

import pytest

from rstar_trainer.dataset import parse_tree
from rstar_trainer.pairs import outcome_groups, preference_groups, valued_steps
from tests.support.arithmetic_trees import RIGHT, UNDECIDED, WRONG, TreeMaker

END = "print(r)"


def hand_made():
    """Two good first steps, one mixed, two bad, one undecided.

    node  text  answers below            Q
    a     right right                    1
    b     right right wrong              1/3
    c     right wrong wrong wrong       -1/2
    d     wrong                         -1
    e     wrong wrong                   -1
    f     undecided                      0
    """
    maker = TreeMaker("What is 1 plus 1?")
    for name, verdicts in (
        ("a", [RIGHT, RIGHT]),
        ("b", [RIGHT, RIGHT, WRONG]),
        ("c", [RIGHT, WRONG, WRONG, WRONG]),
        ("d", [WRONG]),
        ("e", [WRONG, WRONG]),
        ("f", [UNDECIDED]),
    ):
        step = maker.step(0, name)
        for number, verdict in enumerate(verdicts):
            maker.answer(step, f"{END} # {name}{number}", "2\n", verdict)
    return parse_tree(maker.build().SerializeToString())


def texts(paths):
    return [" > ".join(step.text.removeprefix(f"{END} # ") for step in path) for path in paths]


def shown(tree, **settings):
    return [
        (texts(group.preferred), texts(group.rejected), group.final)
        for group in preference_groups(tree, **({"per_side": 2, "min_margin": 0.5} | settings))
    ]


def test_the_best_siblings_that_lead_right_beat_the_worst_that_lead_wrong():
    assert shown(hand_made()) == [
        (["a", "b"], ["d", "e"], False),
        (["b > b0", "b > b1"], ["b > b2"], False),
        (["c > c0"], ["c > c1", "c > c2"], False),
        (["a > a0", "a > a1"], ["d > d0", "e > e0"], True),
    ]


def test_one_step_a_side_is_the_best_against_the_worst():
    assert shown(hand_made(), per_side=1)[0] == (["a"], ["d"], False)


def test_every_pair_has_the_margin():
    # b against d has 1/3 + 1 = 1.33, a against d has 2.
    assert shown(hand_made(), min_margin=1.5)[0] == (["a"], ["d", "e"], False)


def test_a_tree_with_one_outcome_teaches_nothing():
    maker = TreeMaker("What is 1 plus 1?")
    step = maker.step(0, "a")
    maker.answer(step, END, "2\n", RIGHT)
    maker.answer(maker.step(0, "b"), END, "?\n", UNDECIDED)
    assert shown(parse_tree(maker.build().SerializeToString())) == []


def test_a_right_answer_that_is_disowned_is_as_if_it_had_not_been_made():
    tree = hand_made()
    [first, second] = [t.leaf for t in tree.trajectories() if t.steps[0].text == "a"]
    without = tree.without([first, second])
    assert without.nodes[0].visits == tree.nodes[0].visits - 2
    assert shown(without)[0] == (["b", "c"], ["d", "e"], False)
    assert tree.without([first]).nodes[1].q == 1.0
    assert without.nodes[1].visits == 0


def test_a_disowned_answer_takes_back_what_it_backed_up_and_no_first_score():
    maker = TreeMaker("What is 1 plus 1?")
    step = maker.step(0, "a")
    visited = maker.answer(step, f"{END} # 1", "2\n", RIGHT)
    never = maker.answer(step, f"{END} # 2", "2\n", RIGHT, visits=0)
    for node in (step, visited, never):
        maker.score(node, 0.25)
    tree = parse_tree(maker.build().SerializeToString())
    assert [(node.visits, node.value_sum) for node in tree.nodes] == [
        (1, 1.0),
        (2, 1.25),
        (2, 1.25),
        (1, 0.25),
    ]
    without = tree.without([visited, never])
    assert [(node.visits, node.value_sum) for node in without.nodes] == [
        (0, 0.0),
        (1, 0.25),
        (1, 0.25),
        (1, 0.25),
    ]


def test_a_regression_does_not_learn_what_a_ppm_said_before():
    maker = TreeMaker("q?")
    maker.answer(0, "right", "1", RIGHT)
    maker.score(1, 0.5)
    never = maker.step(0, "nothing was backed up to it")
    maker.score(never, -0.7)
    [steps] = valued_steps(parse_tree(maker.build().SerializeToString()))
    assert texts(steps.paths) == ["right"]


@pytest.mark.parametrize(("least", "left"), [(0, 4), (1, 4), (4, 3), (5, 2), (7, 0)])
def test_pairs_that_few_characters_tell_apart_are_left_out(least: int, left: int):
    maker = TreeMaker("q?")
    for text, verdict in (("aaaaaa", RIGHT), ("aabbbb", RIGHT), ("aabbbc", WRONG), ("cc", WRONG)):
        maker.answer(0, text, "1", verdict)
    tree = parse_tree(maker.build().SerializeToString())
    groups = preference_groups(tree, per_side=2, min_margin=0.5, min_edit_distance=least)
    assert sum(group.pairs for group in groups) == left


def test_an_outcome_model_learns_whole_trajectories_whatever_their_q():
    [group] = outcome_groups(hand_made(), per_side=2)
    assert group.final
    assert texts(group.preferred) == ["a > a0", "a > a1"]
    assert texts(group.rejected) == ["b > b2", "c > c1"]


def test_a_regression_learns_the_q_of_every_visited_step():
    tree = hand_made()
    [first, *_] = valued_steps(tree)
    assert texts(first.paths) == ["a", "b", "c", "d", "e"]
    assert first.values == (1.0, 1 / 3, -1 / 2, -1.0, -1.0)
    assert sum(len(steps.values) for steps in valued_steps(tree)) == 5 + 2 + 3 + 4 + 1 + 2


def test_trajectories_of_several_trees_of_one_search_are_compared():
    maker = TreeMaker("What is 1 plus 1?", roots=2)
    maker.answer(maker.step(0, "a"), "print(2)", "2\n", RIGHT)
    maker.answer(maker.step(1, "b"), "print(3)", "3\n", WRONG)
    tree = parse_tree(maker.build().SerializeToString())
    assert [len(children) for children in tree.children()[:2]] == [1, 1]
    assert shown(tree, per_side=1) == [(["a > print(2)"], ["b > print(3)"], True)]
    credited = tree.without([tree.trajectories()[0].leaf])
    assert [node.visits for node in credited.nodes[:2]] == [0, 1]


def test_a_final_group_has_the_mean_q_of_its_trajectories():
    [group] = outcome_groups(hand_made(), per_side=2)
    assert group.q_preferred == (1.0, 1.0)
    assert group.q_rejected == pytest.approx(((1 / 3 - 1) / 2, (-1 / 2 - 1) / 2))
