"""Objects of batches are read line by line, wherever their pieces end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import pytest

from rstar_common.artifacts import ObjectStore
from rstar_common.errors import InvalidInput
from rstar_searcher.intake import MAX_PROBLEM_BYTES, _lines, _problem

LONG = b'"' + b"x" * (3 * MAX_PROBLEM_BYTES)
DATA = b'{"problem_id":"a"}\n\n' + LONG + b'\n{"problem_id":"b"}'


class Pieces:
    """In place of the store: one object, piece by piece."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def pieces(self, _: str) -> AsyncGenerator[bytes]:
        for piece in self._pieces:
            yield piece


@pytest.mark.parametrize("size", [1, 7, 1000, MAX_PROBLEM_BYTES, len(DATA)])
async def test_lines_are_those_of_the_object_and_the_longest_come_cut(size: int):
    pieces = [DATA[start : start + size] for start in range(0, len(DATA), size)]
    store = cast("ObjectStore", cast("Any", Pieces(pieces)))
    first, empty, long, last = [line async for line in _lines(store, "key")]
    assert (first, empty, last) == (b'{"problem_id":"a"}\n', b"\n", b'{"problem_id":"b"}')
    assert LONG.startswith(long.rstrip(b"\n"))
    assert len(long) > MAX_PROBLEM_BYTES
    refused = _problem(long)
    assert isinstance(refused, InvalidInput)
    assert refused.field == "problems_key"


async def test_an_empty_object_has_no_line():
    store = cast("ObjectStore", cast("Any", Pieces([b""])))
    assert [line async for line in _lines(store, "key")] == []
