"""Which trajectories become examples, and how wrong programs with right answers are found."""

from __future__ import annotations

from random import Random

from rstar_common.formats import PromptStep, StepKind
from rstar_trainer.agreement import count_agreement
from rstar_trainer.choice import draw_examples
from rstar_trainer.dataset import Outcome, parse_tree, read_trees
from rstar_trainer.selection import select_examples
from rstar_trainer.skeletons import (
    AskedQuestion,
    definition_skeletons,
    program_skeleton,
    words_of,
)
from tests.support.arithmetic_trees import RIGHT, WRONG, TreeMaker, arithmetic_trees


def parsed(tree):
    return parse_tree(tree.SerializeToString())


def code(*texts):
    return [PromptStep(text=text, kind=StepKind.CODE) for text in texts]


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


def test_how_many_options_there_are_is_a_particular():
    def skeletons(count: int) -> tuple[str, str]:
        names = "abcde"[:count]
        options = "  ".join(f"({name}) {number}/7" for number, name in enumerate(names, start=1))
        asked = AskedQuestion(f"Which is the second biggest value?  {options}")
        pairs = ", ".join(f"{name}=E('{number}/7')" for number, name in enumerate(names, start=1))
        steps = code(f"A = dict({pairs})", "R = sorted(A, key=A.get)[-2]", "print(R)")
        words = {"which", "is", "the", "second", "biggest", "value"}
        return asked.skeleton(words), program_skeleton(asked, steps)

    assert skeletons(3) == skeletons(4) == skeletons(5)


def test_questions_that_ask_the_same_share_a_skeleton():
    questions = [
        "Let k = 3 - 5. What is the third biggest value in k, -0.5, 3/7?",
        "Let z(x) = 3*x + 1. Suppose 0 = 2*t. What is the third biggest value in 4, z, t, 12?",
    ]
    common = {word for question in questions for word in words_of(question)}
    first, second = (AskedQuestion(question).skeleton(common) for question in questions)
    assert first == second
    assert "third biggest" in first


def test_a_rare_word_is_a_particular():
    asked = AskedQuestion("What is prob of picking two from qtqqt?")
    assert asked.skeleton({"what", "is"}) == "what is _ _ _ _ _ _ ?"


def test_questions_about_mathematics_of_another_shape_ask_something_else():
    def skeleton(question):
        return AskedQuestion(question).skeleton({"what", "is", "let", "solve", "for"})

    assert skeleton("What is 3 + 5?") == skeleton("What is 12*(-7)?")
    assert skeleton("What is 3 + 5?") != skeleton("What is 3 + 0.5?")
    assert skeleton("What is r(3)?") == skeleton("What is f(-17)?")
    # Of a letter that was defined it is a number, of another one an expression.
    assert skeleton("Let a = 3. What is r(a)?") != skeleton("Let a = 3. What is r(b)?")
    assert skeleton("Let a = 3. What is r(a)?") == skeleton("Let d = 4. What is t(d)?")


def test_each_sentence_that_defines_has_the_lines_that_read_it():
    asked = AskedQuestion("Let c(x) = 3*x. Suppose 5 = -2*a. Let b = 3. Is b prime?")
    steps = code("c = Lambda(x, E('3*x'))\nb = E('3')", "a, = solve(E('5 = -2*a'), a)")
    assert definition_skeletons(asked, steps) == [
        "v = Lambda ( x1 , E ( #0 ) )",
        "v , = solve ( E ( #0 ) , v )",
        "v = E ( #0 )",
    ]
    assert definition_skeletons(asked, steps[:1])[1] == ""


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


def test_programs_differ_by_the_order_of_values_and_not_by_the_values():
    def skeleton(first, second, *, swapped=False):
        asked = AskedQuestion(f"What is {first} minus {second}?")
        left, right = (second, first) if swapped else (first, second)
        steps = code(
            f"# Step 1: name\nfrom sympy import *\nA = E('{left}')\nB = E('{right}')",
            "# Step 2: subtract\nR = A - B",
            "# Now print the final answer\nprint(R)",
        )
        return program_skeleton(asked, steps)

    assert skeleton("12", "-7") == skeleton("9.5", "3/4")
    assert skeleton("12", "-7") != skeleton("12", "-7", swapped=True)


def test_lines_that_take_values_from_definitions_are_left_out():
    asked = AskedQuestion("Suppose -4*s = -3 + 51. Let r = s + 18. Is r prime?")
    long = code(
        "s, = solve(E('-4*s = -3 + 51'), s)", "r = E('s + 18')", "R = isprime(r)", "print(R)"
    )
    direct = AskedQuestion("Let d = 3 + 4. Is d prime?")
    short = code("d = E('3 + 4')", "T = isprime(d)", "print(T)")
    assert program_skeleton(asked, long) == program_skeleton(direct, short)


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
