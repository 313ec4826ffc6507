"""Whole searches equal the committed ones (see `tests.support.golden_trees`)."""

from __future__ import annotations

import pytest

from tests.support.golden_trees import CASES, golden, stored


@pytest.mark.parametrize("case", CASES)
async def test_a_search_gives_the_golden_tree(case):
    assert await golden(case) == stored(case)
