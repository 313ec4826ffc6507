"""Variants of what a PPM compares differ in names and digits, and not in what they differ in."""

from __future__ import annotations

import re
from random import Random

from rstar_common.formats import PromptStep, StepKind
from rstar_trainer.path_variation import Path, vary

SEEDS = range(20)


def path(*texts: str, output: str = "7") -> Path:
    return tuple(
        PromptStep(text=text, kind=StepKind.CODE, output=output, token_ids=(1,)) for text in texts
    )


def quoted(one: Path) -> str:
    found = re.search(r"'(.*)'", one[0].text)
    assert found is not None
    return found[1]


def test_what_was_copied_stays_copied_and_a_wrong_copy_stays_wrong_in_its_place():
    right, wrong = path("A = E('1203 + 45*x')"), path("A = E('1230 + 45*x')")
    for seed in SEEDS:
        question, [one, other] = vary("What is 1203 + 45*x?", [right, wrong], Random(seed))
        assert question == f"What is {quoted(one)}?"
        differ = [
            i
            for i, pair in enumerate(zip(quoted(one), quoted(other), strict=True))
            if pair[0] != pair[1]
        ]
        assert differ == [2, 3]
        assert quoted(one)[2] == "0"  # zeros stay
    questions = {vary("What is 1203 + 45*x?", [right, wrong], Random(s))[0] for s in SEEDS}
    assert len(questions) > len(SEEDS) // 2


def test_a_program_keeps_numbers_of_its_own_in_the_question_too():
    right = path("A = E('5200')", "R = floor(A/10**2)*10**2")
    for seed in SEEDS:
        question, [one] = vary("Round 5200 to 10 units.", [right], Random(seed))
        assert question == f"Round {quoted(one)} to 10 units."
        assert one[1].text == "R = floor(A/10**2)*10**2"


def test_a_digit_that_is_asked_for_twice_stays_in_question_and_program():
    one_of_two = path("A = E('3')")
    for seed in SEEDS:
        question, [one] = vary("Is 3 a factor of 3?", [one_of_two], Random(seed))
        assert (question, quoted(one)) == ("Is 3 a factor of 3?", "3")


def test_symbols_are_renamed_in_all_lines_alike():
    right, wrong = path("k = E('b + c')"), path("k = E('b + b')")
    for seed in SEEDS:
        question, [one, other] = vary("Let k be b + c. What is k?", [right, wrong], Random(seed))
        name, first, second = re.findall(r"\b[b-z]\b", question)[:3]
        assert len({name, first, second}) == 3
        assert one[0].text == f"{name} = E('{first} + {second}')"
        assert other[0].text == f"{name} = E('{first} + {first}')"


def test_nothing_of_it_was_executed_or_generated():
    _, [one] = vary("1 + 12?", [path("print(12)")], Random(1))
    assert (one[0].output, one[0].token_ids) == ("", ())
