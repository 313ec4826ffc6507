"""Every kind of change to the references of the project's own data is judged rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from rstar_sandbox.judge import Judge
from rstar_sandbox.judge_check import check, records
from rstar_sandbox.judging import AnswerKind
from tests.support.sandbox_algebra import DirectAlgebra

DATA = Path(__file__).parents[3] / "data"


@pytest.mark.parametrize("kind", [AnswerKind.EXACT, AnswerKind.LATEX])
async def test_references_equal_themselves_and_nothing_else(kind):
    problems = records(DATA / "dm_math" / "heldout.jsonl", 0)
    tallies = await check(Judge(DirectAlgebra(), at_once=1), problems, kind)
    summary = tallies[kind].summary()
    assert summary["references"] == summary["itself_equal"] > 300
    assert summary["corrupted"] > 500
    assert summary["false_equal"] == 0, summary["wrong"]
    assert summary["rewritten_equal_share"] >= 0.99, summary["wrong"]
