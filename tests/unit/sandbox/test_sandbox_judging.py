"""Equivalence that needs no algebra."""

from __future__ import annotations

import time

import pytest

from rstar_sandbox.judging import AnswerKind, Verdict, decide, number

EQUAL, UNEQUAL, UNDECIDED = Verdict.EQUAL, Verdict.UNEQUAL, Verdict.UNDECIDED
EXACT, NUMBER, CHOICE = AnswerKind.EXACT, AnswerKind.NUMBER, AnswerKind.CHOICE
TEXT, LATEX = AnswerKind.TEXT, AnswerKind.LATEX


@pytest.mark.parametrize(
    ("kind", "answer", "reference", "verdict"),
    [
        (EXACT, "5", "5", EQUAL),
        (EXACT, " 5\n", "5", EQUAL),
        (EXACT, "\u22125", "-5", EQUAL),
        (EXACT, "- 5", "-5", EQUAL),
        (EXACT, "1, 2,3", "1,2, 3", EQUAL),
        (EXACT, "2*x + 1", "2*x+1", EQUAL),
        (EXACT, "True", "true", EQUAL),
        (EXACT, "Apple", "apple", UNEQUAL),
        (EXACT, "1 2", "12", UNEQUAL),
        (EXACT, "1 + 2*x", "2*x + 1", UNEQUAL),
        (EXACT, "0.5", "1/2", UNEQUAL),
        (EXACT, "5.0", "5", UNEQUAL),
        (EXACT, "", "5", UNEQUAL),
        (EXACT, "truest", "Truest", UNEQUAL),
        (NUMBER, "0.5", "1/2", EQUAL),
        (NUMBER, "1/2", ".5", EQUAL),
        (NUMBER, r"\frac{1}{2}", "0.5", EQUAL),
        (NUMBER, r"-\frac{1}{2}", "-0.5", EQUAL),
        (NUMBER, "1,234", "1234", EQUAL),
        (NUMBER, "$18", "18", EQUAL),
        (NUMBER, "18.", "18", EQUAL),
        (NUMBER, "18.00", "18", EQUAL),
        (NUMBER, "1e3", "1000", EQUAL),
        (NUMBER, "+3", "3", EQUAL),
        (NUMBER, "50%", "50", EQUAL),
        (NUMBER, "50%", "0.5", UNEQUAL),
        (NUMBER, "1/3", "0.333", EQUAL),
        (NUMBER, "0.3333", "0.333", EQUAL),
        (NUMBER, "0.334", "0.333", UNEQUAL),
        (NUMBER, "1/3", "0.33", UNEQUAL),
        (NUMBER, "0.333", "1/3", UNEQUAL),
        (NUMBER, "0.52", "0.5", UNEQUAL),
        (NUMBER, "3", "3.0001", UNEQUAL),
        (NUMBER, "-3", "3", UNEQUAL),
        (NUMBER, "", "3", UNEQUAL),
        (NUMBER, "100,200", "200,100", UNDECIDED),
        (NUMBER, "100,200", "300,100", UNEQUAL),
        (LATEX, "100,200", "200,100", UNDECIDED),
        (NUMBER, "1" * 400, "1" * 399 + "2", UNEQUAL),
        (NUMBER, "1" * 5000, "1", UNDECIDED),
        (CHOICE, "(A)", "A", EQUAL),
        (CHOICE, "a.", "(A)", EQUAL),
        (CHOICE, r"\text{B}", "B", EQUAL),
        (CHOICE, "$C$", "C)", EQUAL),
        (CHOICE, "B", "A", UNEQUAL),
        (CHOICE, "the first", "A", UNDECIDED),
        (TEXT, "New  York.", "new york", EQUAL),
        (TEXT, r"\text{Evelyn}", "evelyn", EQUAL),
        (TEXT, "east", "west", UNEQUAL),
        (LATEX, r"\sqrt{2}", r"\sqrt{2}", EQUAL),
        (LATEX, "3", "4", UNEQUAL),
        (LATEX, "x" * 5000, "x", UNDECIDED),
    ],
)
def test_the_table(kind, answer, reference, verdict):
    judgement = decide(answer, reference, kind)
    assert judgement is not None
    assert judgement.verdict is verdict, judgement
    assert judgement.reason


@pytest.mark.parametrize(
    ("kind", "answer", "reference"),
    [(LATEX, r"\sqrt{2}", "2"), (NUMBER, "2^{3}", "8"), (NUMBER, "eight", "8")],
)
def test_what_needs_algebra_is_left_to_the_sandbox(kind, answer, reference):
    assert decide(answer, reference, kind) is None


@pytest.mark.parametrize(
    "text",
    ["", "x", "1 2", "1/0", "--1", "1e9999", "1,23", "0,123", "0x10", "nan", "inf", "1_000", "٣e"],
)
def test_what_is_no_number_is_none(text):
    assert number(text) is None


@pytest.mark.parametrize("kind", list(AnswerKind))
@pytest.mark.parametrize(
    "text", ["9" * 10**6, " " * 10**6, "(" * 10**6, "1," * 10**6, "\u2212" * 10**6, "$" * 10**6]
)
def test_hostile_text_costs_little(kind, text):
    started = time.process_time()
    decide(text, "1", kind)
    decide("1", text, kind)
    assert time.process_time() - started < 20, "not in proportion to its length"


@pytest.mark.parametrize(
    "piece", [" ", "1 ", "1square ", "5/", r"\text{", r"\text{m ", "}", "^", "1,"]
)
def test_units_at_the_end_of_hostile_text_cost_little(piece):
    text = "1" + piece * (4000 // len(piece)) + "x"
    started = time.process_time()
    for _ in range(20):
        decide(text, "5", NUMBER)
    assert time.process_time() - started < 1, "not in proportion to its length"
