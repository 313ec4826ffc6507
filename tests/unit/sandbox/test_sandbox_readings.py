"""Notation that could be read in two ways: judged alike whichever side it stands on."""

from __future__ import annotations

import pytest

from rstar_sandbox.guest.latex import judge

EQUAL, UNEQUAL, UNDECIDED = "equal", "unequal", "undecided"

COMMAS = [
    # marked, or in a number that stands alone: digits are grouped
    (r"5{,}000\sqrt2", r"5{,}000\sqrt{3}", UNEQUAL),
    (r"1{,}000\pi", r"1000\pi", EQUAL),
    (r"n = 10{,}000", "10000", EQUAL),
    (r"1\,234\,567", "1234567", EQUAL),
    (r"0.123\,456", "0.123456", EQUAL),
    (r"(1,10{,}000)", "(1,10000)", EQUAL),
    (r"1{,}500", "1, 500", UNEQUAL),
    (r"2,000\pi", r"2,000\sqrt{3}", UNEQUAL),
    (r"2,000\pi", r"2000\pi", EQUAL),
    ("f(x)=2,000x", "f(x)=2,000x^2", UNEQUAL),
    ("f(x)=2,000x", "f(x)=2000x", EQUAL),
    (r"3,000\pi", r"\{0,3\}", UNEQUAL),
    ("x = 1,234", "1234", EQUAL),
    ("x = 1,234", "1235", UNEQUAL),
    ("x = 1,500", "1,500", EQUAL),
    (r"\pm 1,000", r"\pm 1000", EQUAL),
    (r"\pm 1,000", r"\pm 1001", UNEQUAL),
    ("1,500<x<2,500", "(1500, 2500)", EQUAL),
    (r"\$1,234.50", "1234.5", EQUAL),
    # beside commas that have a space behind them
    ("(1,000, 2)", "(1000,2)", EQUAL),
    ("(1,000, 2)", "(1, 0, 2)", UNEQUAL),
    ("1,000, 2,000", "2000, 1000", EQUAL),
    (r"1,000\text{ or }2,000", "1000, 2000", EQUAL),
    (r"1,000\text{ or }2,000", "1, 2, 0, 0", UNEQUAL),
    (r"1,500; 2,500", "1500, 2500", EQUAL),
    ("(1,500, 2)", "(1500, 2)", UNDECIDED),
    ("(1,500, 2)", "(1, 500, 2)", EQUAL),  # the same text
    ("1,500, 2,500", "1500, 2500", UNDECIDED),
    # no group of three, or nothing but a pair
    ("(3,100)", "(3, 10^2)", EQUAL),
    ("(3,100)", "(100,3)", UNEQUAL),
    (r"\{1,100\}", r"\{100,1\}", EQUAL),
    ("[1,100]", "[1, 10^2]", EQUAL),
    ("1,2,300", "300, 2, 1", EQUAL),
    ("10,100,x", "x, 10, 100", EQUAL),
    (r"\sqrt 2,100", r"100, \sqrt 2", EQUAL),
    ("x^2,100", "100, x^2", EQUAL),
    ("0,123", "123", UNEQUAL),
    ("1, 2, and 3", "3,2,1", EQUAL),
    (r"1, 2\text{, or }3", "3,2,1", EQUAL),
    # digits that a comma cut off
    ("(1,000,2)", "(1000,2)", UNDECIDED),
    (r"\frac 12,000", "6000", UNDECIDED),
    ("x^2,000", "x^{2000}", UNDECIDED),
    ("3(x^2,100)", "3x^{2100}", UNDECIDED),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reference", "verdict"), COMMAS)
def test_readings(answer, reference, verdict):
    for pair in ((answer, reference), (reference, answer)):
        found, reason = judge(*pair)
        assert found == verdict, reason
        assert reason
