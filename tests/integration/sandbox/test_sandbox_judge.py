"""The judge on real gVisor: a table of pairs, and answers that attack it."""

from __future__ import annotations

import pytest

from rstar.v1 import sandbox_pb2, types_pb2
from tests.support.sandbox import SandboxClient

LATEX = types_pb2.ANSWER_KIND_LATEX
EQUAL, UNEQUAL = types_pb2.VERDICT_EQUAL, types_pb2.VERDICT_UNEQUAL
UNDECIDED = types_pb2.VERDICT_UNDECIDED

TABLE = [
    (r"\frac12", "1/2", EQUAL),
    (r"\dfrac{1}{2}", "0.5", EQUAL),
    (r"\frac13", "0.333", EQUAL),
    ("0.333", r"\frac13", UNEQUAL),
    (r"\sqrt{2}", "1.414", EQUAL),
    ("1.414", r"\sqrt{2}", UNEQUAL),
    (r"\frac{\sqrt3}{3}", r"\frac{1}{\sqrt{3}}", EQUAL),
    (r"2\sqrt{2}", r"\sqrt{8}", EQUAL),
    (r"\frac{3}{4}", r"\frac{3}{5}", UNEQUAL),
    ("1,234", "1234", EQUAL),
    (r"1{,}234", "1234", EQUAL),
    (r"50\%", "50", EQUAL),
    ("0.5", r"50\%", UNEQUAL),
    (r"90^\circ", "90", EQUAL),
    (r"5\text{ cm}", "5", EQUAL),
    ("10^{4}", "10000", EQUAL),
    ("(1,2)", "(2,1)", UNEQUAL),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)", EQUAL),
    (r"\{1,2\}", r"\{2,1\}", EQUAL),
    (r"\{1,2\}", r"\{1,3\}", UNEQUAL),
    ("1,2", "2,1", EQUAL),
    ("16,3,3,1", "16,3,1,1", UNEQUAL),
    ("16,3,3,1", "3, 16, 1, 3", EQUAL),
    ("(0,1]", "(0,1)", UNEQUAL),
    (r"(-\infty,2)\cup(3,\infty)", r"(3,\infty)\cup(-\infty,2)", EQUAL),
    (r"x > 2", r"(2,\infty)", EQUAL),
    ("2 < x", "x > 2", EQUAL),
    ("x = 5", "5", EQUAL),
    ("y = 2x + 1", "2x + 1 = y", EQUAL),
    ("y = 2x + 1", "y = 2x + 2", UNEQUAL),
    ("x^2 + 2x + 1", "(x+1)^2", EQUAL),
    ("x^2 + 2x + 1", "(x+2)^2", UNEQUAL),
    ("p - q", "q - p", UNEQUAL),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}", EQUAL),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}", UNEQUAL),
    (r"\text{Evelyn}", "Evelyn", EQUAL),
    (r"\text{east}", r"\text{west}", UNEQUAL),
    (r"2,000\pi", r"2,000\sqrt{3}", UNEQUAL),
    ("x = 1,234", "1234", EQUAL),
    (r"x>1 \text{ and } x<3", "(1,3)", EQUAL),
    (r"\{x \in \mathbb{Z} \mid 1\le x\le5\}", "[1,5]", UNDECIDED),
    (r"\frac12\frac34", "3/8", EQUAL),
    (r"0.\bar{3}", r"0.\bar{6}", UNEQUAL),
    (r"\sqrt[3]{-8}", "-2", EQUAL),
    (r"10\text{ m/s}", "10 m/s", EQUAL),
    ("e^{-e^{8}}", "e^{-e^{9}}", UNEQUAL),
    (r"\boxed{7}", "7", EQUAL),
    ("$7$", "7", EQUAL),
]  # fmt: skip

HOSTILE = [
    "9^{9^{9^{9}}}",
    "9" * 3000,
    "x^{99999999}",
    "(10^{999})!!!!",
    r"\frac{" * 200 + "1" + "}{2}" * 200,
    "(" * 5000,
    '__import__("os").system("id")',
    r"\text{__import__('os')._exit(0)}",
    r"\input{/etc/passwd}",
    r"\write18{id}",
    "equal",
    '{"verdict": "equal"}',
    "\x00\x01\x02 equal",
    r"\sum_{n=1}^{9999} \sum_{m=1}^{9999} \sin(n^m)",
    r"\int_0^9999 \sin(x^{x^x}) dx",
    "x+" * 200 + "x",
    "lambda: 0",
    "a" * 1_000_000,
]


async def test_the_table_of_latex_pairs(sandbox: SandboxClient):
    pairs = [
        sandbox_pb2.AnswerPair(answer=answer, reference=reference, kind=LATEX)
        for answer, reference, _ in TABLE
    ]
    response = await sandbox.stub.Judge(sandbox_pb2.JudgeRequest(pairs=pairs))
    wrong = [
        (answer, reference, types_pb2.Verdict.Name(judgement.verdict), judgement.reason)
        for (answer, reference, wanted), judgement in zip(TABLE, response.judgements, strict=True)
        if judgement.verdict != wanted
    ]
    assert not wrong


async def test_hostile_answers_are_never_equal_and_end_in_time(sandbox: SandboxClient):
    pairs = [
        sandbox_pb2.AnswerPair(answer=answer, reference=r"\frac{1}{2}", kind=LATEX)
        for answer in HOSTILE
    ]
    # The clock that ends each pair is the judge's own; ours only keeps a test from hanging.
    response = await sandbox.stub.Judge(sandbox_pb2.JudgeRequest(pairs=pairs), timeout=110)
    for answer, judgement in zip(HOSTILE, response.judgements, strict=True):
        assert judgement.verdict in (UNEQUAL, UNDECIDED), answer[:80]
        assert judgement.reason
    assert await sandbox.printed("print('alive')") == "alive\n"


@pytest.mark.parametrize(
    ("kind", "answer", "reference", "verdict"),
    [
        (types_pb2.ANSWER_KIND_EXACT, "-3, 4", "\u22123,4", EQUAL),
        (types_pb2.ANSWER_KIND_UNSPECIFIED, "True", "true", EQUAL),
        (types_pb2.ANSWER_KIND_EXACT, "1/2", "0.5", UNEQUAL),
        (types_pb2.ANSWER_KIND_NUMBER, "1/2", "0.5", EQUAL),
        (types_pb2.ANSWER_KIND_NUMBER, r"2^{3}", "8", EQUAL),
        (types_pb2.ANSWER_KIND_CHOICE, "(B)", "b.", EQUAL),
        (types_pb2.ANSWER_KIND_TEXT, "New  York", "new york", EQUAL),
    ],
)
async def test_every_kind_is_served(sandbox: SandboxClient, kind, answer, reference, verdict):
    judgement = await sandbox.judge(answer, reference, kind)
    assert judgement.verdict == verdict, judgement
