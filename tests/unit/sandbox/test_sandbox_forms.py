"""Form counts where the question asks for one."""

from __future__ import annotations

import pytest

from rstar_sandbox.forms import Form, asked
from rstar_sandbox.judge import Judge, Pair
from rstar_sandbox.judging import AnswerKind, Verdict
from tests.support.sandbox_algebra import DirectAlgebra

EQUAL, UNEQUAL, UNDECIDED = Verdict.EQUAL, Verdict.UNEQUAL, Verdict.UNDECIDED

EXPAND, FACTOR = "Expand $(x+1)(x+2)$.", "Factor $x^4-1$ completely."
SIMPLIFY, SORT = r"Simplify $\frac{6x}{4}+\sqrt{8}$.", "Sort $3, 1, 2$ in increasing order."
SIMPLE = "Simplify the expression."
COLLECT = "Collect the terms in $x + 2x + y$."


@pytest.mark.parametrize(
    ("question", "form"),
    [
        (EXPAND, Form.EXPANDED),
        (FACTOR, Form.FACTORED),
        (SIMPLIFY, Form.SIMPLIFIED),
        (SORT, Form.SORTED),
        (COLLECT, Form.COLLECTED),
        ("What is the greatest common factor of 12 and 18?", None),
        ("By what factor does it grow?", None),
        ("Solve $x+1=2$.", None),
        ("", None),
    ],
)
def test_the_question_tells_the_form(question, form):
    assert asked(question) is form


@pytest.mark.parametrize(
    ("question", "answer", "reference", "verdict"),
    [
        (EXPAND, "(x+1)(x+2)", "x^2+3x+2", UNEQUAL),
        (EXPAND, "(x + 2)(x + 1)", "x^2+3x+2", UNEQUAL),
        (EXPAND, "x(x+3)+2", "x^2+3x+2", UNEQUAL),
        (EXPAND, "2 + 3x + x^2", "x^2+3x+2", EQUAL),
        (EXPAND, "x^2+x+2x+2", "x^2+3x+2", UNDECIDED),
        ("", "(x+1)(x+2)", "x^2+3x+2", EQUAL),
        (FACTOR, "x^4-1", "(x-1)(x+1)(x^2+1)", UNEQUAL),
        (FACTOR, "(x^2-1)(x^2+1)", "(x-1)(x+1)(x^2+1)", UNEQUAL),
        (FACTOR, "(x^2+1)(x+1)(x-1)", "(x-1)(x+1)(x^2+1)", EQUAL),
        (FACTOR, "(x^2-1)(x^2+1)(x-x+1)", "(x-1)(x+1)(x^2+1)", UNDECIDED),
        ("Factor $x^2-2x+1$.", "(x-1)(x-1)", "(x-1)^2", EQUAL),
        ("Factor $ab+2a+5b+10$.", "(b+2)(a+5)", "(a+5)(b+2)", EQUAL),
        ("Factor $6x+6$.", r"2 \cdot 3(x+1)", "6(x+1)", EQUAL),
        (SIMPLIFY, r"\frac{6x}{4}+\sqrt{8}", r"\frac{3x}{2}+2\sqrt2", UNEQUAL),
        (SIMPLIFY, r"\frac{3}{2}x+\sqrt{8}", r"\frac{3x}{2}+2\sqrt2", UNEQUAL),
        (SIMPLIFY, r"\frac{6}{4}x+2\sqrt{2}", r"\frac{3x}{2}+2\sqrt2", UNEQUAL),
        (SIMPLIFY, r"\frac{3}{2}x+2\sqrt{2}", r"\frac{3x}{2}+2\sqrt2", EQUAL),
        (SIMPLE, "x^2/6", r"\frac{x^2}{6}", EQUAL),
        (SIMPLE, "x^4/2", r"\frac{x^4}{2}", EQUAL),
        (SIMPLE, "x^10/5", r"\frac{x^{10}}{5}", EQUAL),
        (SIMPLE, r"\sqrt2/2", r"\frac{\sqrt{2}}{2}", EQUAL),
        (SIMPLE, r"2\sqrt3/3", r"\frac{2\sqrt{3}}{3}", EQUAL),
        (SIMPLE, r"\frac{\sqrt{4x+1}}{2}", r"\frac12\sqrt{1+4x}", EQUAL),
        (SIMPLE, "x^2 * 2/6", r"\frac{x^2}{3}", UNEQUAL),
        (SIMPLE, "2x/6 + 2/6", r"\frac{x+1}{3}", UNEQUAL),
        (SIMPLE, "x^2 + 6/4", r"x^2+\frac32", UNEQUAL),
        (SIMPLE, "sqrt(8)", r"2\sqrt2", UNEQUAL),
        (SIMPLE, r"\sqrt8", r"2\sqrt2", UNEQUAL),
        (SIMPLE, r"\sqrt{12}", r"2\sqrt{3}", UNEQUAL),
        ("Write 6/4 in lowest terms.", r"\frac{6}{4}", r"\frac{3}{2}", UNEQUAL),
        ("Write 6/4 in lowest terms.", "3/2", r"\frac{3}{2}", EQUAL),
        (SORT, "3, 1, 2", "1,2,3", UNEQUAL),
        (SORT, "2, 1, 3", "1,2,3", UNEQUAL),
        (SORT, "1, 2, 3", "1,2,3", EQUAL),
        (SORT, "1.0, 2, 3", "1,2,3", EQUAL),
        (COLLECT, "x + 2x + y", "3x + y", UNEQUAL),
        (COLLECT, "y + x + 2x", "3x + y", UNEQUAL),
        (COLLECT, "y + 3x", "3x + y", EQUAL),
    ],
)
async def test_an_answer_of_another_form_is_not_equal(question, answer, reference, verdict):
    judge = Judge(DirectAlgebra(), at_once=1)
    pair = Pair(answer, reference, AnswerKind.LATEX, question)
    judgement = await judge.judge(pair, timeout_seconds=5)
    assert judgement.verdict is verdict, judgement


async def test_a_pair_is_worked_out_once():
    algebra = DirectAlgebra()
    judge = Judge(algebra, at_once=2)
    pair = Pair(r"\sqrt{8}", r"2\sqrt{2}", AnswerKind.LATEX)
    judgements = await judge.judge_all([pair] * 5, timeout_seconds=5)
    assert {judgement.verdict for judgement in judgements} == {EQUAL}
    await judge.judge(pair, timeout_seconds=5)
    assert algebra.asked == 1
