"""Skeletons: what questions, definitions and programs have in common, their particulars apart."""

from __future__ import annotations

import pytest

from rstar_common.formats import PromptStep, StepKind
from rstar_trainer.shapes import words_of
from rstar_trainer.skeletons import AskedQuestion, definition_skeletons, program_skeleton


def code(*texts):
    return [PromptStep(text=text, kind=StepKind.CODE) for text in texts]


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
    asked = AskedQuestion("Which is the prob of picking two from qtqqt?")
    assert asked.skeleton({"which", "is"}) == "which is _ _ _ _ _ _ _"


def test_questions_about_mathematics_of_another_shape_ask_something_else():
    def skeleton(question):
        return AskedQuestion(question).skeleton({"what", "is", "let", "solve", "for"})

    assert skeleton("What is 3 + 5?") == skeleton("What is 12*(-7)?")
    assert skeleton("What is 3 + 5?") != skeleton("What is 3 + 0.5?")
    assert skeleton("What is r(3)?") == skeleton("What is f(-17)?")
    # Of a letter that was defined it is a number, of another one an expression.
    assert skeleton("Let a = 3. What is r(a)?") != skeleton("Let a = 3. What is r(b)?")
    assert skeleton("Let a = 3. What is r(a)?") == skeleton("Let d = 4. What is t(d)?")


@pytest.mark.parametrize(
    ("question", "alike"),
    [
        ("Let a = 3. What is the tens digit of a?", "Give the tens digit of 4637."),
        ("Let y = 3. Calculate the gcd of 77 and y.", "What is the gcd of 69 and 4 - -(2 + 1)?"),
        ("Evaluate 5 + -27 - (2 + 1).", "What is the value of (3 - 1)*-4?"),
        ("Simplify (sqrt(8) + sqrt(12))*2.", "Simplify sqrt(3) + -1 - -sqrt(2)."),
        ("Compute $7 + 3$.", "Calculate 4 - 3."),
        ("What is the area of a 3 by 4 field?", "What is the area of a 12 by 30 field?"),
        ("Is 3 a multiple of 5?", "Let t(c) = c. Is t(4)/33 - 86/(-11) a multiple of 8?"),
        ("Let a = 4. Is a a multiple of 2?", "Is 4 a multiple of 2?"),
        ("What is next in 1, 4, 9?", "What is next in -0.5, -1/2, x + 1?"),
        (
            "Which is nearest to 2?  (a) 95  (b) -1",
            "Let z = 4. Which is nearest to z?  (a) z  (b) 2/9",
        ),
    ],
)
def test_how_a_question_is_put_and_where_its_values_come_from_are_particulars(question, alike):
    words = {*words_of(question), *words_of(alike)}
    assert AskedQuestion(question).skeleton(words) == AskedQuestion(alike).skeleton(words)


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("Is 4 prime?", "Is 4 composite?"),
        ("Solve 4*b = 0 for b.", "Solve 4*b = 0, c - b = 1 for b."),
        ("Round 4.5 to the nearest ten.", "Round 45 to the nearest ten."),
        ("Let a = 1. Expand a*3.", "Let a = 1. Expand x*3."),
        ("Solve 2*x - 8 = 0 for x.", "Solve 2*x**2 - 8 = 0 for x."),
        ("Find gcd(12, 18).", "Find lcm(12, 18)."),
        ("Calculate (12 + 3)!.", "Calculate 12 + 3."),
        ("Compute $7 + 3$.", "Compute $f(5)$."),
        ("Which is nearest to 2?  (a) 95  (b) -1", "Which is nearest to 2?"),
    ],
)
def test_what_changes_the_answer_is_no_particular(question, other):
    words = {*words_of(question), *words_of(other)}
    assert AskedQuestion(question).skeleton(words) != AskedQuestion(other).skeleton(words)


def test_each_sentence_that_defines_has_the_lines_that_read_it():
    asked = AskedQuestion("Let c(x) = 3*x. Suppose 5 = -2*a. Let b = 3. Is b prime?")
    steps = code("c = Lambda(x, E('3*x'))\nb = E('3')", "a, = solve(E('5 = -2*a'), a)")
    assert definition_skeletons(asked, steps) == [
        "v = Lambda ( x0 , E ( #0 ) )",
        "v , = solve ( E ( #0 ) , v )",
        "v = E ( #0 )",
    ]
    assert definition_skeletons(asked, steps[:1])[1] == ""


def test_a_line_that_needs_two_sentences_is_of_both_and_says_which_value_is_whose():
    asked = AskedQuestion("Let a = 7. Let b = 4. What is a minus b?")
    assert definition_skeletons(asked, code("print(E('7') - E('4'))")) == [
        "print ( E ( #0 ) - E ( #def ) )",
        "print ( E ( #def ) - E ( #0 ) )",
    ]
    words = AskedQuestion("Tom has 12 apples. Ann has 30 apples. How many have they?")
    sums = [definition_skeletons(words, code(f"t = {text}")) for text in ("12 + 30", "30 - 12")]
    assert sums[0] == ["v = #0 + #def", "v = #def + #0"]
    assert sums[0] != sums[1]


@pytest.mark.parametrize(
    ("question", "line", "readings"),
    [
        ("Let f = x^2 - y^2 - z^2. Let g = 8. Is g prime?", "g = E('8')", ["", "v = E ( #0 )"]),
        ("Let c = b + 3. Let b = 3. Is b prime?", "b = E('3')", ["", "v = E ( #0 )"]),
        ("Let b = 3.5. What is b?" + "\n" * 8, "b = E('3.5')", ["v = E ( #0 )"]),
        ("", "b = 3", []),
        ("Let b = 12.", "b = 12", []),
    ],
    ids=["powers", "named before it is defined", "trailing lines", "nothing", "nothing asked"],
)
def test_a_line_is_of_the_sentence_that_gives_its_values(question, line, readings):
    assert definition_skeletons(AskedQuestion(question), code(line)) == readings


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


def test_it_makes_no_difference_whether_a_value_was_defined_before():
    direct = program_skeleton(
        AskedQuestion("Is 7 a factor of 21?"),
        code("A = E('7')\nB = E('21')", "R = B % A == 0\nprint(R)"),
    )
    defined = program_skeleton(
        AskedQuestion("Let f = 20 + 1. Is 7 a factor of f?"),
        code("f = E('20 + 1')", "A = E('7')", "R = f % A == 0\nprint(R)"),
    )
    assert direct == defined == "v0 = #1 % #0 = = 0 ; print ( v0 )"


def test_letters_that_format_a_number_are_no_names():
    asked = AskedQuestion("Let f = 3. Let g = 4. What is f minus g?")
    steps = code("f = E('3')\ng = E('4')", "R = f - g\nprint(f'{Decimal(R.p)/R.q:f}')")
    assert program_skeleton(asked, steps).count("#0") == 1


@pytest.mark.parametrize(
    ("lines", "skeleton"),
    [
        (
            ["A = E('12')", "A = E('18')", "print(A)"],
            "v0 = E ( #0 ) ; v0 = E ( #1 ) ; print ( v0 )",
        ),
        (["A = E('12')", "print([A for A in B])"], "v0 = E ( #0 ) ; print ( [ v0 for v0 in B ] )"),
        (["A=E('12')", "x = E('18')", "print({1:x})"], "print ( { 1 : #1 } )"),
    ],
    ids=["given another value", "bound again", "a key and its value"],
)
def test_a_name_that_is_more_than_a_value_stays(lines, skeleton):
    asked = AskedQuestion("What is 12 minus 18?")
    assert program_skeleton(asked, code("\n".join(lines[:-1]), lines[-1])) == skeleton


def test_values_of_one_place_stay_apart():
    asked = AskedQuestion("Find the slope of the line through (12, 18) and (35, 49).")
    read = "\n".join(f"{name} = E('{n}')" for name, n in zip("pqrs", (12, 18, 35, 49), strict=True))
    slopes = ("print((s - q)/(r - p))", "print((r - p)/(s - q))", "print((s - p)/(r - q))")
    assert len({program_skeleton(asked, code(read, line)) for line in slopes}) == 3


def test_lines_that_take_values_from_definitions_are_left_out():
    asked = AskedQuestion("Suppose -4*s = -3 + 51. Let r = s + 18. Is r prime?")
    long = code(
        "s, = solve(E('-4*s = -3 + 51'), s)", "r = E('s + 18')", "R = isprime(r)", "print(R)"
    )
    direct = AskedQuestion("Let d = 3 + 4. Is d prime?")
    short = code("d = E('3 + 4')", "T = isprime(d)", "print(T)")
    assert program_skeleton(asked, long) == program_skeleton(direct, short)
