"""Variants change names and numbers everywhere alike, and nothing else."""

from __future__ import annotations

from random import Random

from rstar_common.formats import PromptStep, StepKind
from rstar_trainer.selection import Example
from rstar_trainer.variation import variant


def example(question: str, *steps: str) -> Example:
    return Example(
        question=question,
        steps=tuple(
            PromptStep(text=text, kind=StepKind.CODE, token_ids=(1,), tokenizer="t")
            for text in steps
        ),
        mean_q=1.0,
    )


ORIGINAL = example(
    "Let f(x) = 185*x - 2. What is a common factor of 120 and f(7)?",
    "E = lambda s: sympify(s)\nf = Lambda(x, E('185*x - 2'))\nA = E('120')\nR = gcd(A, f(7))",
)


def test_a_variant_is_consistent_between_question_and_program():
    for seed in range(50):
        varied = variant(ORIGINAL, Random(seed))
        [step] = varied.steps
        head, _, rest = varied.question.partition("(")
        function, symbol = head[-1], rest[0]
        quoted = varied.question.split("= ")[1].split(".")[0]
        assert f"{function} = Lambda({symbol}, E('{quoted}'))" in step.text
        assert f"R = gcd(A, {function}(7))" in step.text
        assert "E = lambda s: sympify(s)" in step.text


def test_a_name_beside_a_quote_is_a_name():
    varied = variant(example("Let k be 7*w. What is k?", "k = E('7*w')\nA = E('k')"), Random(5))
    [step] = varied.steps
    name, symbol = varied.question[4], varied.question[11]
    seven = varied.question[9]
    assert step.text == f"{name} = E('{seven}*{symbol}')\nA = E('{name}')"


def test_the_letters_of_a_string_are_not_names():
    letters = example("Sequence yr from {y: 3, r: 2}?", "A = Counter(y=3, r=2)\nB = 'yr'")
    assert variant(letters, Random(1)).steps[0].text == letters.steps[0].text


def test_words_short_numbers_and_round_zeros_stay():
    varied = variant(ORIGINAL, Random(3))
    assert "What is a common factor of " in varied.question
    assert "(7)?" in varied.question, "the program does not quote it, so it may be its own"
    assert varied.question.split("factor of ")[1].split(" ")[0].endswith("0")


def test_a_digit_changes_only_where_the_program_quotes_it():
    of = example(
        "Let w(x) = 3*x**2. Find the 2nd derivative.", "A = E('3*x**2')\nR = diff(A, x, 2)"
    )
    seen = set()
    for seed in range(20):
        varied = variant(of, Random(seed))
        [step] = varied.steps
        quoted = step.text.split("'")[1]
        assert f"= {quoted}. Find the 2nd" in varied.question
        assert step.text.endswith(", 2)")
        seen.add(quoted[0])
    assert len(seen) > 3


def test_what_is_quoted_from_two_places_keeps_its_digits():
    twice = example("Is 3*x less than 3*x + 1?", "A = E('3*x')\nB = E('3*x + 1')")
    assert {variant(twice, Random(seed)).question[3] for seed in range(20)} == {"3"}


def test_a_variant_has_no_token_ids_of_the_original():
    assert all(not step.token_ids for step in variant(ORIGINAL, Random(0)).steps)


def test_one_seed_is_one_variant():
    assert variant(ORIGINAL, Random(1)) == variant(ORIGINAL, Random(1))
    assert variant(ORIGINAL, Random(1)) != variant(ORIGINAL, Random(2))
