"""Which LaTeX may reach a parser."""

from __future__ import annotations

import pytest

from rstar_sandbox.guest.notation import refuse, tidy


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{1}{2}",
        r"\left(-\infty, 2\right] \cup [3, \infty)",
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        "x^{2^{3}}",
        r"\sqrt[3]{x+1}",
        "2^{2005}",
        r"\text{Evelyn}",
        r"e^{-x^2}",
    ],
)
def test_ordinary_answers_pass(text):
    assert refuse(tidy(text)) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("1" * 61, "digits"),
        ("x" * 601, "longer"),
        (r"\input{/etc/passwd}", "allow-list"),
        (r"\begin{tikzpicture}", "environment"),
        ("9^{9^{9^{9}}}", "tower"),
        ("9^9^9^9", "tower"),
        ("2^{99999}", "exponent"),
        ("2^99999", "exponent"),
        ("2^{-(99999)}", "exponent"),
        ("(" * 17, "deeply"),
        ("__import__('os')", "code"),
        ("\x00", "characters"),
        ("数", "characters"),
        ("x^2" * 41, "exponents"),
        (r"\write18{id}", "allow-list"),
    ],
)
def test_the_rest_is_refused_with_a_reason(text, why):
    assert why in refuse(text)


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("$5$", "5"),
        (r"\boxed{5}", "5"),
        (r"\dfrac12", r"\frac 12"),
        ("90°", r"90^\circ"),
        (r"\left( 1,\, 2 \right]", "( 1, 2 ]"),
        (r"2\leqx", r"2\leq x"),
        (r"\begin{pmatrix}1\\ 2\end{pmatrix}", r"\begin{pmatrix}1\\ 2\end{pmatrix}"),
        ("sqrt(2)", r"\sqrt (2)"),
        ("x**2", "x^2"),
        ("5.", "5"),
        ("\u22125", "-5"),
        ("1{,}000", "1000"),
        (r"1,\!000\,000", "1000000"),
        ("1,000", "1,000"),
        (r"0{,}123", "0{,}123"),
    ],
)
def test_spelling_is_evened_out(text, tidied):
    assert tidy(text) == tidied
