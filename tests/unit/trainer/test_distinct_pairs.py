"""A pair is taught once: by one tree of many, and by a step or by whole trajectories."""

from __future__ import annotations

from dataclasses import replace

from rstar_trainer.dataset import SearchTree, parse_tree
from rstar_trainer.pairs import PreferenceGroup, distinct, preference_groups
from tests.support.arithmetic_trees import RIGHT, WRONG, TreeMaker


def tree(*steps: tuple[str, list], question: str = "What is 1 plus 1?") -> SearchTree:
    """First steps, and the verdicts of the answers below each."""
    maker = TreeMaker(question)
    for name, verdicts in steps:
        step = maker.step(0, name)
        for number, verdict in enumerate(verdicts):
            maker.answer(step, f"{name}{number}", "2\n", verdict)
    return parse_tree(maker.build().SerializeToString())


def groups_of(*trees: SearchTree) -> list[PreferenceGroup]:
    return [one for each in trees for one in preference_groups(each, per_side=2, min_margin=0.5)]


def texts(paths):
    return [" > ".join(step.text for step in path) for path in paths]


def shown(groups):
    return [(texts(one.preferred), texts(one.rejected), one.final) for one in groups]


def test_siblings_that_end_are_compared_as_whole_trajectories_and_not_again_as_steps():
    siblings = tree(("a", [RIGHT, RIGHT, WRONG, WRONG]))
    assert shown(groups_of(siblings)) == [(["a > a0", "a > a1"], ["a > a2", "a > a3"], True)]


def test_a_step_group_keeps_the_pairs_that_the_final_group_has_not():
    siblings = tree(("a", [RIGHT, RIGHT, WRONG, WRONG]), ("b", [WRONG]))
    assert shown(groups_of(siblings)) == [
        (["a"], ["b"], False),
        (["a > a0", "a > a1"], ["a > a3"], False),
        (["a > a0", "a > a1"], ["b > b0", "a > a2"], True),
    ]


def test_the_same_question_in_two_trees_teaches_each_pair_once():
    once = tree(("a", [RIGHT, RIGHT]), ("b", [RIGHT, WRONG]), ("c", [WRONG]))
    first, again = (groups_of(replace(once, search_id=name)) for name in ("r0", "r1"))
    assert len(first) == 3
    assert distinct([*first, *again]) == first
    assert distinct([*again, *first]) == again


def test_two_roots_of_one_search_teach_each_pair_once():
    maker = TreeMaker("What is 1 plus 1?", roots=2)
    for root in (0, 1):
        maker.answer(maker.step(root, "a"), "a0", "2\n", RIGHT)
        maker.answer(maker.step(root, "b"), "b0", "3\n", WRONG)
    assert shown(groups_of(parse_tree(maker.build().SerializeToString()))) == [
        (["a"], ["b"], False),
        (["a > a0"], ["b > b0"], True),
    ]


def test_what_another_tree_has_more_is_taught_beside_it():
    few = tree(("a", [RIGHT]), ("b", [WRONG]))
    more = tree(("a", [RIGHT]), ("c", [RIGHT]), ("b", [WRONG]), ("d", [WRONG]))
    assert shown(distinct(groups_of(few, more))) == [
        (["a"], ["b"], False),
        (["a > a0"], ["b > b0"], True),
        # Not a and b again: what is left of two times two is no product.
        (["a"], ["d"], False),
        (["c"], ["b", "d"], False),
        (["a > a0"], ["d > d0"], True),
        (["c > c0"], ["b > b0", "d > d0"], True),
    ]


def test_a_pair_is_final_whichever_tree_comes_first():
    # In one the siblings are no best and worst trajectories, and so a step group.
    deep = tree(("a", [RIGHT] * 3), ("b", [RIGHT, WRONG]), ("c", [WRONG] * 3))
    shallow = tree(("b", [RIGHT, WRONG]))
    assert (["b > b0"], ["b > b1"], False) in shown(groups_of(deep))
    for trees in ((deep, shallow), (shallow, deep)):
        taught = shown(distinct(groups_of(*trees)))
        assert (["b > b0"], ["b > b1"], True) in taught
        assert (["b > b0"], ["b > b1"], False) not in taught


def test_the_same_steps_of_another_question_are_another_pair():
    steps = ("a", [RIGHT]), ("b", [WRONG])
    groups = groups_of(tree(*steps), tree(*steps, question="What is 2 times 1?"))
    assert len(groups) == 4
    assert distinct(groups) == groups


def test_neither_tokens_nor_outputs_make_another_pair():
    [group, _] = groups_of(tree(("a", [RIGHT]), ("b", [WRONG])))
    generated = tuple(
        tuple(replace(step, token_ids=(1, 2), output="?") for step in path)
        for path in group.preferred
    )
    assert distinct([group, replace(group, preferred=generated)]) == [group]


def test_what_is_left_of_a_group_keeps_the_q_of_its_lines():
    [step, *_, final] = groups_of(
        tree(
            ("a", [RIGHT, RIGHT]), ("b", [RIGHT, RIGHT, WRONG]), ("c", [WRONG]), ("d", [WRONG] * 2)
        )
    )
    assert (texts(step.preferred), texts(step.rejected)) == (["a", "b"], ["c", "d"])
    assert (step.q_preferred, step.q_rejected) == ((1.0, 1 / 3), (-1.0, -1.0))
    assert (final.q_preferred, final.q_rejected) == ((1.0, 1.0), (-1.0, -1.0))
    given = replace(
        step,
        preferred=step.preferred[:1],
        rejected=step.rejected[:1],
        q_preferred=(),
        q_rejected=(),
    )
    assert [
        (texts(one.preferred), texts(one.rejected), one.q_preferred, one.q_rejected)
        for one in distinct([given, step])
    ] == [
        (["a"], ["c"], (), ()),
        (["a"], ["d"], (1.0,), (-1.0,)),
        (["b"], ["c", "d"], (1 / 3,), (-1.0, -1.0)),
    ]
