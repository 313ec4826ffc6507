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
    ("10,100", "100,10", UNDECIDED),
    ("100,200,300", "300, 200, 100", UNDECIDED),
    ("10,100", "100,20", UNEQUAL),
    ("(10,100)", "(100,10)", UNEQUAL),
    ("f(1,500)=3", "f(1500)=3", UNDECIDED),
    ("2(1,500)", "3000", UNDECIDED),
    ("2(1,000)", "2000", EQUAL),
    # digits that a comma cut off
    ("(1,000,2)", "(1000,2)", UNDECIDED),
    (r"\frac 12,000", "6000", UNDECIDED),
    ("x^2,000", "x^{2000}", UNDECIDED),
    ("3(x^2,100)", "3x^{2100}", UNDECIDED),
]  # fmt: skip

JOINED = [
    # "and" is what both have in common, "or" is all of them
    (r"x>1 \text{ and } x<3", r"\mathbb{R}", UNEQUAL),
    (r"x>1 \text{ and } x<3", "(1,3)", EQUAL),
    (r"x \ge 1 \text{ and } x<3", "[1,3)", EQUAL),
    (r"x \ge 1 \text{ and } x>1 \text{ and } x<3", "1<x<3", EQUAL),
    (r"x>1 \text{ or } x<3", r"\mathbb{R}", EQUAL),
    (r"x>1 \text{ or } x<3", "(1,3)", UNEQUAL),
    (r"x<1 \text{ or } x>3", r"x>3 \text{ or } x<1", EQUAL),
    (r"x<1 \text{ or } x=3", r"(-\infty,1)\cup\{3\}", EQUAL),
    # "x < -1 and x > 1" says that there is none, and often means "or"
    (r"x<-1 \text{ and } x>1", r"x<-1 \text{ or } x>1", UNDECIDED),
    (r"x<-1 \text{ and } x>1", r"\mathbb{R}", UNDECIDED),
    (r"x<-1 \text{ and } x>1 \text{ or } x=0", r"x<-1 \text{ or } x>1 \text{ or } x=0", UNDECIDED),
    ("x<-1, x>1", r"x<-1 \text{ or } x>1", UNDECIDED),
    ("x>1, x<3", "(1,3)", UNDECIDED),
    ("x<-1, x>1", "x>1, x<-1", EQUAL),
    # of several names
    (r"x>1 \text{ and } y>2", r"y>2, x>1", EQUAL),
    (r"x>1 \text{ and } y>2", r"x>1 \text{ or } y>2", UNDECIDED),
    (r"x<a \text{ or } x>b", r"x>b \text{ or } x<a", EQUAL),
    (r"x<a \text{ or } x>b", r"x>b \text{ and } x<a", UNDECIDED),
    (r"x=1 \text{ and } y=2", r"x=1 \text{ or } y=2", UNDECIDED),
    (r"x=1 \text{ and } y=2", "x=1, y=2", EQUAL),
    (r"x=1 \text{ or } x=2", "x=1, x=2", EQUAL),
    (r"(x=1 \text{ and } y=2) \text{ or } (x=2 \text{ and } y=1)",
     r"(x=1 \text{ and } y=1) \text{ or } (x=2 \text{ and } y=2)", UNDECIDED),
    ("x=1, y=2", "y=2, x=1", EQUAL),
    ("x=1, y=2", "x=2, y=1", UNEQUAL),
    ("x=1, y=2", "2, 1", UNDECIDED),
    ("x=1, y=2", "x=1, x=2", UNDECIDED),
    ("x=1, y=2", "a=1, b=2", UNEQUAL),
    ("x=1, x=2", "2, 1", EQUAL),
    (r"x \ne 1 \text{ and } x \ne 2", r"x \ne 1 \text{ or } x \ne 2", UNDECIDED),
    (r"x \ne 1 \text{ and } x \ne 2", r"x \ne 2, x \ne 1", EQUAL),
]  # fmt: skip

BUILT = [
    (r"\{x \mid 1 \le x \le 5\}", "[1,5]", EQUAL),
    (r"\{x \in \mathbb{R} \mid 1 \le x \le 5\}", "[1,5]", EQUAL),
    (r"\{x \in \mathbb{R} : x<1 \text{ or } x>3\}", r"(-\infty,1)\cup(3,\infty)", EQUAL),
    (r"\{x \in \mathbb{Z} \mid 1 \le x \le 5\}", "[1,5]", UNDECIDED),
    (r"\{2x \mid 1<x<3\}", "(1,3)", UNDECIDED),
    (r"\{x \mid 1<y<3\}", "(1,3)", UNDECIDED),
    (r"\{x^2 \mid x \in [0,2]\}", "[0,2]", UNDECIDED),
    (r"\{x \mid x \in [0,2]\}", "[0,2]", EQUAL),
]

MIXED = [
    (r"2\frac12", "5/2", EQUAL),
    (r"-2\frac{1}{2}", "-5/2", EQUAL),
    (r"x \cdot 2\frac12", "5x/2", EQUAL),
    (r"x^{2\frac12}", "x^{5/2}", EQUAL),
    (r"1 \div 2\frac12", "2/5", EQUAL),
    (r"4^2\frac{1}{2}", "8", EQUAL),
    (r"4^2\frac{1}{2}", "32", UNEQUAL),
    (r"\frac12\frac34", "3/8", EQUAL),
    (r"\frac12\frac34", "4/11", UNEQUAL),
    (r"x^2\frac12", r"\frac{x^2}{2}", EQUAL),
    (r"\pi r^2\frac{1}{3}", r"\frac{\pi r^2}{3}", EQUAL),
    (r"\sqrt2\frac12", r"\frac{\sqrt2}{2}", EQUAL),
    (r"\log_2\frac12", "-1", EQUAL),
    (r"1/2\frac34", "3/8", UNDECIDED),
    (r"1/2\frac34", "4/11", UNDECIDED),
    (r"2\frac12^2", "25/4", UNDECIDED),
    (r"2\frac12\frac34", "15/8", UNDECIDED),
]

PERIODS = [
    (r"0.\bar{3}", r"\frac13", EQUAL),
    (r"0.\bar3", r"\frac13", EQUAL),
    (r"0.\overline{3}", r"0.\bar{3}", EQUAL),
    (r"0.1\bar6", r"\frac16", EQUAL),
    (r"0.\bar{3}", r"0.\bar{6}", UNEQUAL),
    (r"0.\bar{3}", "0", UNEQUAL),
    (r"0.\bar{x}", "0", UNDECIDED),
    ("0.-3", "-3", UNDECIDED),
    ("(5., 2)", "(5, 2)", EQUAL),
    (r"3\overline{4}", "34", UNDECIDED),
    (r"0.5\bar{x}", r"\frac{\bar{x}}{2}", EQUAL),
    (r"2\mathbf{i}+3\mathbf{j}", r"3\mathbf{j}+2\mathbf{i}", EQUAL),
]

BASES = [
    ("1A_{16}", "A_{16}", UNDECIDED),
    ("1AB_{16}", "AB_{16}", UNDECIDED),
    ("1a_{16}", "a_{16}", UNDECIDED),
    ("2x_1+3x_2", "3x_2+2x_1", EQUAL),
    ("2a_{12}", "a_{12}+a_{12}", EQUAL),
]

ROOTS = [
    (r"\sqrt[3]{-8}", "-2", EQUAL),
    (r"\sqrt[3]{-8}", "2", UNEQUAL),
    (r"\sqrt[3]{-8}", r"1+i\sqrt3", UNEQUAL),
    (r"\sqrt[5]{-32}", "-2", EQUAL),
    (r"\sqrt[3]{-2}", r"-\sqrt[3]{2}", EQUAL),
    (r"\sqrt[3]{2-\sqrt5}", r"\frac{1-\sqrt5}{2}", EQUAL),
    (r"\sqrt[3]{i}", "-i", UNDECIDED),
    ("(-8)^{1/3}", "-2", UNDECIDED),
    ("(-8)^{2/3}", "4", UNDECIDED),
    ("-8^{1/3}", "-2", EQUAL),
    ("8^{-2/3}", r"\frac14", EQUAL),
    (r"\sqrt{-4}", "2i", EQUAL),
    (r"\sqrt[3]{-x}", r"-\sqrt[3]{x}", EQUAL),
    (r"\sqrt[3]{-x}", r"\sqrt[3]{x}", UNEQUAL),
    (r"\sqrt[3]{x}", "x^{1/3}", EQUAL),
    (r"\sqrt[3]{1-x}", "-(x-1)^{1/3}", EQUAL),
    (r"\sqrt[3]{(x-1)^2}", "(x-1)^{2/3}", EQUAL),
    (r"\sqrt[3]{x^3}", "x", EQUAL),
    (r"\sqrt[3]{x^2y}", r"x\sqrt[3]{\frac{y}{x}}", EQUAL),
    (r"\sqrt[3]{e^x}", "e^{x/3}", EQUAL),
    (r"y = \sqrt[3]{x}", "y = x^{1/3}", EQUAL),
    (r"y^2 = \sqrt[3]{x}", "2y^2 = 2x^{1/3}", EQUAL),
    (r"\sqrt[4]{x^4}", "x", UNDECIDED),
]

TINY = [
    ("e^{-e^{8}}", "0", UNEQUAL),
    ("e^{-e^{8}}", "e^{-e^{9}}", UNEQUAL),
    (r"1+e^{-e^{9}}", "1", UNEQUAL),
    (r"1+2^{-1000\pi}", "1", UNEQUAL),
    ("e^{-e^{11}}", "0", UNDECIDED),
    (r"\tanh 1000", "1", UNEQUAL),
    (r"\tanh(e^{8})", "1", UNEQUAL),
    ("1+e^{-e^{x}}", "1", UNEQUAL),
    (r"(\frac{1}{1000})^{300\pi}", "0", UNEQUAL),
    (r"(1000\pi)^{-500\sqrt2}", "0", UNEQUAL),
    (r"(1000\pi)^{-500}", "0", UNEQUAL),
    (r"e^{\ln 2}", "2", EQUAL),
    (r"e^{-e^{8}}", r"\frac{1}{e^{e^8}}", EQUAL),
    (r"e^{x+\pi}", r"e^x e^{\pi}", EQUAL),
    (r"2^{\sqrt2}", r"4^{\frac{\sqrt2}{2}}", EQUAL),
]

UNITS = [
    # letters are the unit that the other side spells out
    (r"10\text{ m/s}", "10 m/s", EQUAL),
    (r"10\text{ m/s}", "11 m/s", UNEQUAL),
    (r"5\text{ m}", "5 m", EQUAL),
    (r"5\text{ m}", "5m", EQUAL),
    (r"500\text{ cm}", "5 m", EQUAL),
    (r"5\text{ kg}", "5 m", UNEQUAL),
    (r"9.8\text{ m/s}^2", "9.8 m/s^2", EQUAL),
    # they may be one
    ("5 in", "5", UNDECIDED),
    ("5 in", "6", UNEQUAL),
    ("60 s", "1 min", UNDECIDED),
    ("60 s", "2 min", UNEQUAL),
    ("5m", "5", UNEQUAL),
    ("3x", "3", UNEQUAL),
    # one quantity in several units
    (r"1\text{ liter}", r"1000\text{ cubic centimeters}", EQUAL),
    (r"1\text{ m}^3", r"1000\text{ L}", EQUAL),
    (r"1\text{ m}^2", r"1000\text{ L}", UNEQUAL),
    (r"1\text{ L}", r"1000\text{ mL}", EQUAL),
    (r"60\text{ mph}", r"60\text{ miles per hour}", EQUAL),
    (r"60\text{ mph}", r"88\text{ ft/s}", EQUAL),
    (r"60\text{ mph}", r"60\text{ kph}", UNEQUAL),
    ("36 kph", r"10\text{ m/s}", EQUAL),
    (r"60\text{ mph}", r"60\text{ miles}", UNEQUAL),
    (r"2\text{ square feet per minute}", r"288\text{ square inches per minute}", EQUAL),
    (r"2\text{ square feet}", r"2\text{ ft}^2", EQUAL),
    (r"5\text{ apples per day}", r"5\text{ pears per day}", UNDECIDED),
    (r"90\degree", r"90^\circ", EQUAL),
    (r"90^{\degree}", "90", EQUAL),
    (r"90^\degree", "91", UNEQUAL),
]

TABLES = COMMAS + JOINED + BUILT + MIXED + PERIODS + BASES + ROOTS + TINY + UNITS


@pytest.mark.parametrize(("answer", "reference", "verdict"), TABLES)
def test_readings(answer, reference, verdict):
    for pair in ((answer, reference), (reference, answer)):
        found, reason = judge(*pair)
        assert found == verdict, reason
        assert reason
