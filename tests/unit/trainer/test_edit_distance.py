"""Whether two texts are far apart, held against the plain way to count edits."""

from __future__ import annotations

from random import Random

import pytest

from rstar_trainer.edit_distance import is_apart


def edits(one: str, other: str) -> int:
    """All of Wagner and Fischer's table."""
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        here = [row]
        for column, against in enumerate(other, start=1):
            changed = above[column - 1] + (letter != against)
            here.append(min(changed, above[column] + 1, here[-1] + 1))
        above = here
    return above[-1]


@pytest.mark.parametrize("least", range(8))
def test_it_is_the_distance_that_is_compared(least: int):
    rng = Random(least)
    found = set()
    for _ in range(400):
        one = "".join(rng.choices("ab", k=rng.randint(0, 9)))
        other = "".join(rng.choices("ab", k=rng.randint(0, 9)))
        found.add(is_apart(one, other, least))
        assert is_apart(one, other, least) is (edits(one, other) >= least), (one, other)
    assert found == ({True} if least == 0 else {True, False})


def test_long_texts_that_hardly_differ_are_told_apart():
    text = "print(1)\n" * 300
    assert is_apart(text, text.replace("1", "2", 25), 20)
    assert not is_apart(text, text.replace("1", "2", 15), 20)
