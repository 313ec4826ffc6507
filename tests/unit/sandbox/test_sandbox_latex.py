"""Equivalence of LaTeX: what is equal, what is not, and what cannot be told."""

from __future__ import annotations

import pytest

from rstar_sandbox.guest.latex import judge

EQUAL, UNEQUAL, UNDECIDED = "equal", "unequal", "undecided"


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        # numbers
        (r"\frac 34", "3/4", EQUAL),
        (r"\frac9{19}", "9/19", EQUAL),
        (r"137 \frac{1}{2}", "275/2", EQUAL),
        (r"0.1\overline{6}", r"\frac16", EQUAL),
        ("0.1666666666666666666666666", r"\frac16", UNEQUAL),
        (r"11,\! 111", "11111", EQUAL),
        ("sqrt(3)/3", r"\frac{1}{\sqrt{3}}", EQUAL),
        ("2**10", "1024", EQUAL),
        (r"\sqrt{2+\sqrt{3}}", r"\frac{\sqrt{6}+\sqrt{2}}{2}", EQUAL),
        (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}+10^{-30}", UNEQUAL),
        ("3.141592653589793238462643383279502884197169399375105820974", r"\pi", UNEQUAL),
        (r"\sqrt2+10^{-999}", r"\sqrt2", UNEQUAL),
        (r"\sqrt2+e^{-5000}", r"\sqrt2", UNEQUAL),
        (r"x+10^{-999}", "x", UNEQUAL),
        (r"x(1+\pi^{-3000})", "x", UNEQUAL),
        ("1 2", "12", UNDECIDED),
        ("1 2", "3", UNDECIDED),
        (r"1/2\pi", r"\frac{\pi}{2}", EQUAL),
        (r"1/x y", r"\frac{1}{xy}", UNDECIDED),
        (r"\sqrt12", r"2\sqrt3", UNDECIDED),
        ("i^2", "-1", EQUAL),
        (r"e^{i\pi}", "-1", EQUAL),
        (r"10!", "3628800", EQUAL),
        (r"\binom{5}{2}", "10", EQUAL),
        (r"\log_2 8", "3", EQUAL),
        (r"\frac{\log 8}{\log 2}", "3", EQUAL),
        (r"\log 100", "2", UNDECIDED),
        (r"\tan^{-1} 1", r"\frac{\pi}{4}", EQUAL),
        (r"\frac{1}{0}", "1", UNEQUAL),
        # letters
        ("A", "a", UNEQUAL),
        ("f'", "f", UNEQUAL),
        ("x_1", "x_2", UNEQUAL),
        ("(n+1)!", "(n+1) n!", EQUAL),
        (r"\sin^2 x + \cos^2 x", "1", EQUAL),
        (r"\sin 2x", r"2 \sin x \cos x", EQUAL),
        (r"\sqrt{x^2}", "x", UNDECIDED),
        (r"(-1)^{2n}", "1", UNDECIDED),
        (r"\lfloor n/2 \rfloor", "n/2", UNEQUAL),
        # decimals and what they approximate
        (r"\frac{1}{3}", "0.333", EQUAL),
        (r"\frac{1}{3}", "0.33", UNEQUAL),
        ("0.333", r"\frac{1}{3}", UNEQUAL),
        (r"(\sqrt2, 1)", "(1.414, 1)", EQUAL),
        (r"(1.414, 1)", r"(\sqrt2, 1)", UNEQUAL),
        # units, percent, money, bases
        (r"5 \text{ cm}", r"5 \text{ kg}", UNEQUAL),
        (r"5 \text{ cm}^2", r"5 \text{ cm}^3", UNEQUAL),
        (r"100 \text{ cm}", r"1 \text{ m}", EQUAL),
        (r"100 \text{ cm}^2", r"1 \text{ m}^2", UNEQUAL),
        (r"2 \text{ hours}", r"120 \text{ minutes}", EQUAL),
        (r"15\mbox{ cm}^2", "15", EQUAL),
        (r"5 \text{ apples}", r"5 \text{ pears}", UNDECIDED),
        (r"50\%", "0.5", UNEQUAL),
        (r"\$5.40", "5.4", EQUAL),
        (r"540 \text{ cents}", r"\$5.40", EQUAL),
        ("52_8", "52_{8}", EQUAL),
        ("52_8", "53_8", UNEQUAL),
        ("52_8", "52_9", UNEQUAL),
        ("52", "52_8", UNDECIDED),
        ("42", "52_8", UNEQUAL),
        # lists, sets, points, intervals
        ("3, 5, 7", "7,5,3", EQUAL),
        (r"1 \text{ or } 2", "2, 1", EQUAL),
        (r"x=1 \text{ or } x=2", "1,2", EQUAL),
        (r"\{1,1,2\}", r"\{1,2\}", EQUAL),
        ("1,1,2", "1,2", UNEQUAL),
        (r"1 \pm \sqrt{2}", r"1-\sqrt2, 1+\sqrt2", EQUAL),
        (r"\{1\pm\sqrt{5},-2\}", r"\{-2, 1-\sqrt5, 1+\sqrt5\}", EQUAL),
        ("(1,2),(3,4)", "(3,4),(1,2)", EQUAL),
        ("(1,2),(3,4)", "(2,1),(3,4)", UNEQUAL),
        ("1,2", "(1,2)", UNDECIDED),
        ("[0,1)", "[0,1]", UNEQUAL),
        (r"\langle 1,2 \rangle", "(1,2)", EQUAL),
        (r"(0,1] \cup [1,2)", "(0,2)", EQUAL),
        (r"(0,1) \cup (1,2)", "(0,2)", UNEQUAL),
        (r"\{x \mid -2 \le x < 1\}", "[-2,1)", EQUAL),
        (r"x \in [-2,7]", "[-2,7]", EQUAL),
        (r"x<1 \text{ or } x>3", r"(-\infty,1)\cup(3,\infty)", EQUAL),
        (r"\mathbb{R}", r"(-\infty,\infty)", EQUAL),
        (r"\emptyset", r"\{\}", EQUAL),
        ("3:2", "3:2", EQUAL),
        ("3:2", "2:3", UNEQUAL),
        # equations
        ("5x - 7y + 11z + 4 = 0", "-10x + 14y - 22z = 8", EQUAL),
        ("5x - 7y + 11z + 4 = 0", "5x - 7y + 11z = 4", UNEQUAL),
        ("x=5", "y=5", UNEQUAL),
        ("f(x) = 2x", "2x", EQUAL),
        ("b>a>c", "c<a<b", EQUAL),
        ("b>a>c", "b>c>a", UNEQUAL),
        # matrices and words
        (r"\begin{bmatrix} 1/2 & 0 \end{bmatrix}", r"\begin{pmatrix}\frac12&0\end{pmatrix}", EQUAL),
        (r"\begin{pmatrix} 1 & 0 \end{pmatrix}", r"\begin{pmatrix}1\\0\end{pmatrix}", UNEQUAL),
        ("Evelyn", r"\text{Evelyn}", EQUAL),
        (r"\text{(C)}", "C", EQUAL),
        (r"\text{Evenly}", r"\text{Evelyn}", UNEQUAL),
        ("Evenly", "Evelyn", UNEQUAL),
        ("7", r"\text{east}", UNEQUAL),
        (r"\text{seven}", "7", UNDECIDED),
        (r"\text{east}", "x", UNDECIDED),
        ("5", "5x - 7y = 0", UNEQUAL),
        ("5x - 7y", "5x - 7y = 0", UNDECIDED),
        ("3", r"(0,1) \cup (2,3)", UNEQUAL),
        (r"\sum_{k=1}^n k", r"\frac{n(n+1)}{2}", UNDECIDED),
    ],
)  # fmt: skip
def test_the_table_of_latex(answer, reference, verdict):
    found, reason = judge(answer, reference)
    assert found == verdict, reason
    assert reason
