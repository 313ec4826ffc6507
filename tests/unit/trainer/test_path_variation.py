"""Variants of what a PPM compares differ in names and digits, and not in what they differ in."""

from __future__ import annotations

import re
from random import Random

from rstar_common.formats import PromptStep, StepKind
from rstar_trainer.path_variation import Path, vary

SEEDS = range(60)


def path(*texts: str, output: str = "7") -> Path:
    return tuple(
        PromptStep(text=text, kind=StepKind.CODE, output=output, token_ids=(1,)) for text in texts
    )


def variants(question: str, *paths: Path) -> list[tuple[str, list[Path]]]:
    """Those there are; most seeds have one."""
    found = [one for seed in SEEDS if (one := vary(question, paths, Random(seed)))]
    assert len(found) > len(SEEDS) // 2
    return found


def quoted(one: Path) -> str:
    found = re.search(r"'(.*)'", one[0].text)
    assert found is not None
    return found[1]


def test_what_was_copied_stays_copied_and_a_wrong_copy_stays_wrong_in_its_place():
    right, wrong = path("A = E('1203 + 45*x')"), path("A = E('1230 + 45*x')")
    asked = set()
    for question, [one, other] in variants("What is 1203 + 45*x?", right, wrong):
        assert question == f"What is {quoted(one)}?"
        pairs = zip(quoted(one), quoted(other), strict=True)
        assert [i for i, (left, right) in enumerate(pairs) if left != right] == [2, 3]
        assert quoted(one)[2] == "0"  # zeros stay
        asked.add(question)
    assert len(asked) > len(SEEDS) // 2


def test_a_program_keeps_numbers_of_its_own_in_the_question_too():
    right = path("A = E('5200')", "R = floor(A/10**2)*10**2")
    for question, [one] in variants("Round 5200 to 10 units.", right):
        assert question == f"Round {quoted(one)} to 10 units."
        assert one[1].text == "R = floor(A/10**2)*10**2"


def test_what_a_program_quotes_and_no_question_has_is_its_own():
    right = path("A = E('4*b + 1')*E('1/2')", "R = '0123456789'[3]")
    for _, [one] in variants("Halve 4*b + 1.", right):
        assert one[0].text.endswith("E('1/2')")
        assert one[1].text == "R = '0123456789'[3]"


def test_a_digit_that_is_asked_for_twice_stays_and_so_does_what_is_no_copy_of_it():
    right, wrong = path("A = E('3')"), path("A = E('4')")
    for question, [one, other] in variants("Is 3 a factor of 3?", right, wrong):
        assert (question, quoted(one), quoted(other)) == ("Is 3 a factor of 3?", "3", "4")


def test_what_one_program_quotes_and_another_names_stays_for_both():
    named, quoting = path("print(46 % 7)"), path("A = E('7')")
    for question, [one, other] in variants(
        "What is the remainder when 46 is divided by 7?", named, quoting
    ):
        assert question.endswith("divided by 7?")
        assert one[0].text == "print(46 % 7)"
        assert quoted(other) == "7"


def test_numbers_stay_in_their_base():
    right = path("A = int('112', 5)", "B = int('3430132', 5)")
    for question, _ in variants("In base 5, what is 112 + 3430132?", right):
        digits = re.findall(r"\d{2,}", question)
        assert len(digits) == 2
        assert all(digit <= "5" for number in digits for digit in number)


def test_symbols_are_renamed_in_all_lines_alike_and_none_to_what_a_program_uses():
    right, wrong = path("k = E('b + c')"), path("m = E('b + b')")
    for question, [one, other] in variants("Let k be b + c. What is k?", right, wrong):
        name, first, second = re.findall(r"\b[b-z]\b", question)[:3]
        assert len({name, first, second, "m"}) == 4
        assert one[0].text == f"{name} = E('{first} + {second}')"
        assert other[0].text == f"m = E('{first} + {first}')"


def test_different_paths_never_become_one():
    question = "Find 2*x + 5 where 2*x is 4."
    paths = [path(f"A = E('{text}')") for text in ("2*x + 5", "2*x", "2*x + 4", "1*x + 5")]
    for _, varied in variants(question, *paths):
        assert len({one[0].text for one in varied}) == len(paths)


def test_nothing_of_it_was_executed_or_generated():
    for _, [one] in variants("1 + 12?", path("print(12)")):
        assert (one[0].output, one[0].token_ids) == ("", ())
