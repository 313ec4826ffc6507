"""Which trajectories become examples, and how wrong programs with right answers are found."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from rstar.v1 import tree_pb2
from rstar_trainer.agreement import at_least, count_agreement
from rstar_trainer.choice import draw_examples
from rstar_trainer.dataset import Outcome, parse_tree, read_trees
from rstar_trainer.selection import select_examples
from tests.support.arithmetic_trees import RIGHT, WRONG, TreeMaker, arithmetic_trees


def parsed(tree):
    return parse_tree(tree.SerializeToString())


def test_the_trajectories_with_the_highest_mean_q_are_kept():
    maker = TreeMaker("q?")
    good, mixed = maker.step(0, "good"), maker.step(0, "mixed")
    maker.answer(good, "a", "1", RIGHT)
    maker.answer(good, "b", "1", RIGHT)
    maker.answer(mixed, "c", "1", RIGHT)
    maker.answer(mixed, "d", "2", WRONG)
    kept = select_examples([parsed(maker.build())], per_problem=2, agreement=None)
    assert [[step.text for step in e.steps] for e in kept.examples] == [
        ["good", "a"],
        ["good", "b"],
    ]
    assert (kept.problems, kept.solved) == (1, 1)


def test_a_problem_searched_twice_is_one_problem_and_the_order_of_trees_is_nothing():
    trees = [parsed(tree) for tree in arithmetic_trees(30)]
    first = select_examples([*trees, *trees], per_problem=2, agreement=None)
    shuffled = Random(1).sample(trees, len(trees))
    assert select_examples(shuffled, per_problem=2, agreement=None).examples == first.examples


def test_a_program_that_is_right_by_chance_is_disowned():
    trees = [parsed(tree) for tree in arithmetic_trees(40)]
    lucky = TreeMaker("What is 7 plus 0?", problem_id="lucky")
    for operator in "-+":
        defined = lucky.step(0, "# Step 1: define the values\na = 7\nb = 0")
        computed = lucky.step(defined, f"# Step 2: compute\nr = a {operator} b")
        lucky.answer(computed, "# Now print the final answer\nprint(r)", "7\n", RIGHT)
    trees.append(parsed(lucky.build()))
    kept = select_examples(trees, per_problem=2, agreement=count_agreement(trees))
    [programs] = [
        [step.text for step in e.steps] for e in kept.examples if e.question == "What is 7 plus 0?"
    ]
    assert "r = a + b" in programs[1]
    assert kept.disowned == 1


def drawn(name: str, letters: str, *, right: bool, search: str = "") -> tree_pb2.Tree:
    """What a lucky program, or a right one, answers about letters drawn in an order."""
    maker = TreeMaker(
        f"Letters drawn from {letters}{letters[0]}. Give prob of {letters}.", name, search
    )
    bag, order = f"A = Counter('{letters}{letters[0]}')", f"B = Counter('{letters}')"
    maker.answer(0, f"{bag}\n{order}\nprint(share(A, B))", "1", RIGHT if right else WRONG)
    if not right:
        maker.answer(0, f"{bag}\n{order}\nprint(in_order(A, B))", "1", RIGHT)
    return maker.build()


@pytest.mark.parametrize("searches", [1, 2, 3, 4])
def test_a_question_searched_often_makes_no_lucky_program_right(searches: int):
    others = [
        parsed(drawn(f"o{n}", letters, right=False))
        for n, letters in enumerate(["qcu", "wde", "zfg", "khj", "vmn", "bpr", "tlo", "yxc"])
    ]
    often = [
        parsed(drawn("often", "xqz", right=True, search=f"s{number}")) for number in range(searches)
    ]
    found = {}
    for trees in ([*others, *often], [*often, *others]):
        agreement = count_agreement(trees)
        assert "xqz" not in agreement.common
        kept = select_examples(trees, per_problem=2, agreement=agreement)
        assert "often" not in {one.problem_id for one in kept.examples}
        found[agreement.scores(often[0])[1]] = kept
    assert len(found) == 1


def asked_for_the_tens(number: int, *, fails: bool) -> TreeMaker:
    """A problem that one program solves always, and another unless it `fails`."""
    maker = TreeMaker(f"What is the tens digit of {100 + number}?", problem_id=f"p{number}")
    maker.answer(0, f"print({100 + number} // 10 % 10)", "1", RIGHT)
    maker.answer(0, f"print({100 + number} % 10)", "1", WRONG if fails else RIGHT)
    return maker


def disowned_after(problems: int, *, failures: int) -> int:
    trees = [
        parsed(asked_for_the_tens(number, fails=number < failures).build())
        for number in range(problems)
    ]
    return select_examples(trees, per_problem=2, agreement=count_agreement(trees)).disowned


def test_a_program_that_mostly_works_is_disowned_once_another_is_known_to_work_always():
    assert disowned_after(40, failures=0) == 0
    assert disowned_after(40, failures=5) == 35  # 87 %: well within reach of the best
    assert disowned_after(6, failures=1) == 0  # one failure of six proves nothing


def derived(number: int, *, order: int, right: bool) -> TreeMaker:
    """A question with a definition, answered by a program that derives so many times."""
    text = f"{number}*x**3 - 7*x"
    maker = TreeMaker(f"Let f(x) be the first derivative of {text}. What is f({number})?")
    for times, outcome in ((1, RIGHT), (order, RIGHT if right else WRONG)):
        defined = maker.step(0, f"f = Lambda(x, diff(E('{text}'), x, {times}))")
        maker.answer(defined, f"print(E('f({number})'))", "1", outcome)
    return maker


def test_a_wrong_definition_is_not_held_against_what_follows_and_never_taught():
    lucky = derived(2, order=3, right=True)
    makers = [derived(n, order=2 + n % 2, right=False) for n in range(3, 30)] + [lucky]
    trees = [parsed(maker.build()) for maker in makers]
    agreement = count_agreement(trees)
    right = [[t.leaf for t in tree.trajectories() if t.outcome is Outcome.RIGHT] for tree in trees]
    assert [agreement.disowned(tree) for tree in trees[:-1]] == [[]] * 27
    assert agreement.disowned(trees[-1]) == right[-1][1:]
    assert len(right[-1]) == 2


def reader(number: int, kind: str, *programs: tuple[str, bool]) -> tree_pb2.Tree:
    """A question after a sentence of some kind, and programs that define the same and go on."""
    value = f"{kind}({number}*3 + {number})"
    maker = TreeMaker(f"Let r = {value}. What is r minus {number}?")
    for program, right in programs:
        first, _, rest = program.format(f"E('{value}')").partition(";")
        defined = maker.step(0, first)
        maker.answer(defined, f"print({rest}{number})", "1", RIGHT if right else WRONG)
    return maker.build()


def test_a_definition_that_was_read_once_excuses_no_wrong_program():
    words = ("size", "weight", "price", "length", "age", "speed", "depth", "heat")
    trees = [
        parsed(reader(n, kind, ("r = {};r-", True), ("r = {}*1;r+", n % 10 == 0)))
        for n, kind in enumerate(map("".join, combinations(words, 3)), start=20)
    ]
    agreement = count_agreement(trees)
    for tree in trees:
        right = [t for t in tree.trajectories() if t.outcome is Outcome.RIGHT]
        refused = agreement.disowned(tree)
        assert [t.leaf in refused for t in right] == [False, True][: len(right)]


def test_a_definition_that_is_rarely_read_so_may_be_as_right():
    usual, rare = ("r = {};r-", True), ("r = {} + 0*1;r-", True)
    trees = [parsed(reader(n, "value", usual)) for n in range(20, 50)]
    trees += [parsed(reader(n, "value", usual, rare)) for n in range(50, 52)]
    agreement = count_agreement(trees)
    assert [agreement.disowned(tree) for tree in trees] == [[]] * 32


def test_how_likely_so_many_failures_are():
    assert at_least(0, 5, 0.5) == 1
    assert at_least(5, 5, 0.5) == pytest.approx(1 / 32)
    assert at_least(130, 3000, 0.03) == pytest.approx(0.0, abs=1e-4)  # 90 are to be expected
    assert at_least(80, 3000, 0.03) == pytest.approx(0.87, abs=0.01)


def answered(question: str, given: str, *programs: tuple[str, bool]) -> tree_pb2.Tree:
    """A question whose values programs read in one way, to go on in different ones."""
    maker = TreeMaker(question)
    read = maker.step(0, given)
    for program, right in programs:
        maker.answer(read, program, "1", RIGHT if right else WRONG)
    return maker.build()


def test_what_fails_where_values_are_given_is_lucky_where_they_are_defined():
    gcd, least = "print(gcd(A, B))", "print(Min(A, B))"
    direct = [
        answered(
            f"Calculate the highest common factor of {6 * n} and {15 * n}.",
            f"A = E('{6 * n}')\nB = E('{15 * n}')",
            (gcd, True),
            (least, False),
        )
        for n in range(10, 20)
    ]
    defined = [
        answered(
            f"Let b = {n} + {3 * n}. What is the highest common factor of {n} and b?",
            f"b = E('{n} + {3 * n}')\nA = E('{n}')",
            (gcd.replace("B", "b"), True),
            (least.replace("B", "b"), True),
        )
        for n in (11, 12, 13)
    ]
    trees = [parsed(tree) for tree in (*direct, *defined)]
    agreement = count_agreement(trees)
    selection = select_examples(trees[-1:], per_problem=2, agreement=agreement)
    [kept] = selection.examples
    assert kept.steps[-1].text == gcd.replace("B", "b")
    assert not selection.refused


def test_a_question_with_a_story_is_like_no_other_that_ends_alike():
    """What is asked stands before the last sentence, so nothing tells the programs apart."""
    sums = [
        answered(f"Compute ${n} + {2 * n}$.", f"A = E('{n} + {2 * n}')", ("print(A)", True))
        for n in range(10, 20)
    ]
    stories = [
        answered(f"{story} {n} apples. Compute $v$.", f"n = {n}", (f"print(n {what})", True))
        for story, what, n in (("Ann doubles", "* 2", 30), ("Bob halves", "/ 2", 40))
    ]
    trees = [parsed(tree) for tree in (*sums, *stories)]
    agreement = count_agreement(trees)
    assert [agreement.disowned(tree) for tree in trees] == [[]] * 12


def test_problems_that_only_refused_programs_solved_are_told():
    makers = [asked_for_the_tens(number, fails=number > 4) for number in range(12)]
    lucky = TreeMaker("What is the tens digit of 155?", problem_id="lucky")
    lucky.answer(0, "print(155 % 10)", "5", RIGHT)
    missed = TreeMaker("What is the tens digit of 156?", problem_id="missed")
    missed.answer(0, "print(156 % 10)", "6", WRONG)
    trees = [parsed(maker.build()) for maker in (*makers, lucky, missed)]
    selection = select_examples(trees, per_problem=2, agreement=count_agreement(trees))
    assert selection.refused == ("lucky",)
    assert selection.solved == 13


def test_a_draw_is_of_right_trajectories_alone_whatever_their_q_and_the_same_for_a_seed():
    maker = TreeMaker("q?")
    for number in range(6):
        maker.answer(
            0, f"print({number})", f"{number}", RIGHT if number else WRONG, visits=number + 1
        )
    tree = parse_tree(maker.build().SerializeToString())

    def drawn(seed: int) -> set[str]:
        selection = draw_examples([tree], per_problem=2, agreement=None, seed=seed)
        assert (selection.problems, selection.solved) == (1, 1)
        return {example.steps[-1].text for example in selection.examples}

    assert drawn(1) == drawn(1)
    assert {len(drawn(seed)) for seed in range(20)} == {2}
    assert set.union(*(drawn(seed) for seed in range(20))) == {f"print({n})" for n in range(1, 6)}


def test_a_made_up_problem_that_is_mostly_answered_otherwise_teaches_nothing(tmp_path):
    for name, right in (("kept", 2), ("dropped", 1)):
        maker = TreeMaker(f"{name}?", search_id=name)
        for number in range(4 if name == "kept" else 3):
            verdict = RIGHT if number < right else WRONG
            maker.answer(0, f"print({number})", "0", verdict)
        tree = maker.build()
        for synthetic in (True, False):
            tree.problem.labels["synthetic"] = str(synthetic).lower()
            path = tmp_path / f"{name}-{synthetic}.pb"
            path.write_bytes(tree.SerializeToString())
    read = [tree.search_id for tree in read_trees(sorted(tmp_path.glob("*.pb")))]
    assert read == ["dropped", "kept", "kept"]
