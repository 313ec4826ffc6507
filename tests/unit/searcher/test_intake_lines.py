"""Objects of batches are read line by line, wherever their pieces end."""

from __future__ import annotations

from io import BytesIO

import pytest

from rstar_common.errors import InvalidInput
from rstar_searcher import intake
from rstar_searcher.intake import MAX_PROBLEM_BYTES, _lines, _problem

LONG = b'"' + b"x" * (3 * MAX_PROBLEM_BYTES)
DATA = b'{"problem_id":"a"}\n\n' + LONG + b'\n{"problem_id":"b"}'


@pytest.mark.parametrize("size", [1, 7, 1000, MAX_PROBLEM_BYTES, len(DATA)])
def test_lines_are_those_of_the_object_and_the_longest_come_cut(size: int, monkeypatch):
    monkeypatch.setattr(intake, "READ_BYTES", size)
    first, empty, long, last = _lines(BytesIO(DATA))
    assert (first, empty, last) == (b'{"problem_id":"a"}\n', b"\n", b'{"problem_id":"b"}')
    assert LONG.startswith(long.rstrip(b"\n"))
    assert len(long) > MAX_PROBLEM_BYTES
    refused = _problem(long)
    assert isinstance(refused, InvalidInput)
    assert refused.field == "problems_key"


def test_an_empty_object_has_no_line():
    assert list(_lines(BytesIO())) == []
