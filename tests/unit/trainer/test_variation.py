"""Variants change names, numbers and quotes everywhere alike, and nothing else."""

from __future__ import annotations

import re
from random import Random

import pytest

from rstar_common.formats import PromptStep, StepKind
from rstar_trainer.selection import Example
from rstar_trainer.variation import Variation


def example(question: str, *steps: str) -> Example:
    return Example(
        question=question,
        steps=tuple(
            PromptStep(text=text, kind=StepKind.CODE, token_ids=(1,), tokenizer="t")
            for text in steps
        ),
        mean_q=1.0,
    )


def variant(of: Example, seed: int, *others: Example) -> Example:
    return Variation([of, *others]).variant(of, Random(seed))


HELPER = "E = lambda s: sympify(s.replace(' = ', '-(') + ')'*s.count(' = '))\n"

ORIGINAL = example(
    "Let f(x) = 185*x - 2. What is a common factor of 120 and f(7)?",
    HELPER + "f = Lambda(x, E('185*x - 2'))\nA = E('120')\nR = gcd(A, f(7))",
)
EQUATION = example("Solve -3*w = 5*(w - 1) for w.", HELPER + "R = solve(E('-3*w = 5*(w - 1)'), w)")
OTHER_EQUATION = example("Solve 7 = 2*y for y.", HELPER + "R = solve(E('7 = 2*y'), y)")


def test_a_variant_is_consistent_between_question_and_program():
    for seed in range(100):
        varied = variant(ORIGINAL, seed)
        [step] = varied.steps
        head, _, rest = varied.question.partition("(")
        function, symbol = head[-1], rest[0]
        quoted = varied.question.split(" = ")[1].split(". What")[0]
        assert f"{function} = Lambda({symbol}, E('{quoted}'))" in step.text
        assert f"R = gcd(A, {function}(7))" in step.text
        assert step.text.startswith(HELPER)


def test_an_equation_gets_other_digits_and_other_equations():
    """The signs that the helper of the first lines quotes once kept every equation as it was."""
    said = set()
    for seed in range(60):
        varied = variant(EQUATION, seed, OTHER_EQUATION)
        [step] = varied.steps
        quoted = varied.question.removeprefix("Solve ").rpartition(" for ")[0]
        assert f"R = solve(E('{quoted}'), {varied.question[-2]})" in step.text
        said.add(re.sub(r"[1-9]\d*|[a-z]", "#", quoted))
    assert said == {"-#*# = #*(# - #)", "# = #*#"}


def test_quotes_of_one_kind_are_joined_and_numbers_get_other_lengths():
    of = example("Evaluate 2*(3 + 14).", "A = E('2*(3 + 14)')\nprint(A)")
    texts = {variant(of, seed).steps[0].text.split("'")[1] for seed in range(80)}
    assert any(text.count("(") > 2 for text in texts), "joined"
    assert len({len(text) for text in texts if text.count("(") == 1}) > 5, "other lengths"


def test_strings_of_letters_become_others_and_words_stay():
    strings = [
        example(f"Pick two letters from {text}. Give prob of {pair}.", f"A = Counter('{text}')")
        for text, pair in (("kyayf", "ky"), ("abbbb", "ab"), ("qqqrr", "rr"))
    ]
    [of, *others] = strings
    picked = [variant(of, seed, *others) for seed in range(40)]
    for varied in picked:
        string = varied.question.split("from ")[1].split(".")[0]
        assert varied.steps[0].text == f"A = Counter('{string}')"
        assert varied.question.startswith("Pick two letters from ")
    assert len({varied.question for varied in picked}) > 20


def test_a_string_of_letters_is_another_in_every_variant_though_a_word_has_it_too():
    of = example("Sequence qu from quuqu?", "A = Counter('quuqu')\nB = Counter('qu')")
    for seed in range(40):
        varied = variant(of, seed)
        string, bag = re.fullmatch(r"Sequence (\w+) from (\w+)\?", varied.question).groups()
        assert varied.steps[0].text == f"A = Counter('{bag}')\nB = Counter('{string}')"
        assert (string, bag) != ("qu", "quuqu")
        assert len(string) >= 2


def test_what_is_counted_gets_other_counts_and_company():
    of = example(
        "Pick 2 y, 1 r and 1 b from {y: 3, r: 2, b: 1}?",
        "A = Counter(y=3, r=2, b=1)\nB = Counter(y=2, r=1, b=1)",
    )
    things, kinds = set(), set()
    for seed in range(80):
        varied = variant(of, seed)
        counted = varied.question.split("{")[1].split("}")[0]
        words = varied.question.removeprefix("Pick ").split(" from")[0]
        picked = [part.split(" ") for part in words.replace(" and ", ", ").split(", ")]
        said = ", ".join(f"{name}={count}" for count, name in picked)
        first = f"A = Counter({counted.replace(': ', '=')})"
        assert varied.steps[0].text == f"{first}\nB = Counter({said})"
        assert sum(int(count) for count, _ in picked) == 4
        assert all(f"{name}: " in counted for _, name in picked)
        things.add(len(counted.split(", ")))
        kinds.add(len(picked))
    assert (things, kinds) == ({3, 4, 5, 6}, {1, 2, 3, 4})


def test_what_is_counted_in_words_beside_a_string_of_letters_varies():
    of = example("Pick 1 y from yyr?", "A = Counter('yyr')\nB = Counter(y=1)")
    names = set()
    for seed in range(40):
        varied = variant(of, seed)
        name = varied.question.split("Pick 1 ")[1][0]
        assert varied.steps[0].text.endswith(f"B = Counter({name}=1)")
        names.add(name)
    assert len(names) > 5


@pytest.mark.parametrize(
    "question",
    ["Pick 2 y and 1 r, then 2 y and 1 r from kk?", "Pick 12 y and 1 rs from kk?"],
    ids=["twice", "not as words"],
)
def test_what_is_told_otherwise_keeps_its_counts(question):
    of = example(question, "B = Counter(y=2, r=1)")
    for seed in range(20):
        assert re.search(r"B = Counter\(\w=2, \w=1\)", variant(of, seed).steps[0].text)


def test_a_name_beside_a_quote_is_a_name():
    for seed in range(30):
        of = example("Let k be 7*w. What is k?", "k = E('7*w')\nA = E('k')")
        varied = variant(of, seed)
        quoted = varied.question.removesuffix(f". What is {varied.question[4]}?")[9:]
        [step] = varied.steps
        assert step.text == f"{varied.question[4]} = E('{quoted}')\nA = E('{varied.question[4]}')"


def test_the_letters_of_a_string_are_not_names():
    letters = example("Sequence yr from {y: 3, r: 2}?", "A = Counter(y=3, r=2)\nB = f'{A}'")
    assert all("y=" in variant(letters, seed).steps[0].text for seed in range(20))


def test_words_short_numbers_and_round_zeros_stay():
    for seed in range(20):
        varied = variant(ORIGINAL, seed)
        assert "What is a common factor of " in varied.question
        assert "(7)?" in varied.question, "the program does not quote it, so it may be its own"


def test_a_digit_changes_only_where_the_program_quotes_it():
    of = example(
        "Let w(x) = 3*x**2. Find the 2nd derivative.", "A = E('3*x**2')\nR = diff(A, x, 2)"
    )
    for seed in range(20):
        varied = variant(of, seed)
        [step] = varied.steps
        assert f"= {step.text.split(chr(39))[1]}. Find the 2nd" in varied.question
        assert step.text.endswith(", 2)")


def test_what_is_quoted_from_two_places_stays_but_for_its_names():
    twice = example("Is 3*x less than 3*x + 1?", "A = E('3*x')\nB = E('3*x + 1')")
    for seed in range(20):
        varied = variant(twice, seed)
        name = varied.question[5]
        assert varied.question == f"Is 3*{name} less than 3*{name} + 1?"
        assert varied.steps[0].text == f"A = E('3*{name}')\nB = E('3*{name} + 1')"


IN_BASE = example(
    "In base 10, what is 598 + -7?",
    "A = E('10')\nB = E('598 + -7')",
    "import re\nn = E(re.sub(r'\\w+', lambda m: str(int(m[0], A)), '598 + -7'))\n"
    "R = '-'*bool(n < 0) + ''.join(f'{d:x}' for d in digits(n, A)[1:])",
)


def test_a_quote_after_one_with_a_backslash_is_seen():
    seen = set()
    for seed in range(60):
        varied = variant(IN_BASE, seed)
        base, said = re.fullmatch(r"In base (.*), what is (.*)\?", varied.question).groups()
        assert varied.steps[0].text == f"A = E('{base}')\nB = E('{said}')"
        assert f"r'\\w+', lambda m: str(int(m[0], A)), '{said}'))" in varied.steps[1].text
        seen.add(said)
    assert len(seen) > 30


def test_a_text_that_stands_in_another_kind_of_string_too_is_not_exchanged():
    both = example("Solve 3*x + 1 for x.", "A = E('3*x + 1')\nB = \"3*x + 1\"")
    for seed in range(20):
        varied = variant(both, seed)
        assert varied.steps[0].text.count(varied.question[6:13]) == 2


def test_a_program_keeps_its_own_numbers_and_attributes():
    own = example(
        "Let p be 14/60. How many minutes is p + 10 of an hour?",
        "p = E('14/60')\nA = E('p + 10')\nR = A*60\nT = R.p*10**2",
    )
    for seed in range(40):
        varied = variant(own, seed)
        [step] = varied.steps
        assert step.text.splitlines()[2:] == ["R = A*60", "T = R.p*10**2"]


def test_a_number_with_its_unit_is_exchanged():
    unit = example("Convert 80.8265cm to meters.", "A = E('80.8265')\nR = A/10**2")
    seen = {variant(unit, seed).question for seed in range(20)}
    assert len(seen) > 10
    assert all(one.startswith("Convert ") and one.endswith("cm to meters.") for one in seen)


def test_what_is_counted_twice_alike_stays():
    alike = example("Pick 2 y from {y: 2, r: 1}?", "A = Counter(y=2, r=1)\nB = Counter(y=2, r=1)")
    for seed in range(30):
        varied = variant(alike, seed)
        held = varied.question.split("{")[1].split("}")[0].replace(": ", "=")
        assert varied.steps[0].text == f"A = Counter({held})\nB = Counter({held})"
        assert held.endswith("=1")


def test_a_variant_has_no_token_ids_of_the_original():
    assert all(not step.token_ids for step in variant(ORIGINAL, 0).steps)


def test_no_symbol_becomes_a_name_that_the_program_has_of_its_own():
    taught = example("What is 3*k + 1 for k = 2?", "t = E('3*k + 1')", "print(t.subs(k, 2))")
    made = [Variation([taught]).variant(taught, Random(seed)) for seed in range(200)]
    assert all("t = E(" in one.steps[0].text for one in made)
    assert not any("subs(t," in one.steps[1].text for one in made)
    assert len({one.steps[1].text for one in made}) > 10


def test_one_seed_is_one_variant():
    assert variant(ORIGINAL, 1) == variant(ORIGINAL, 1)
    assert variant(ORIGINAL, 1) != variant(ORIGINAL, 2)
