"""Whether two pieces of LaTeX mean the same. Runs in a child of its own, under our clock."""

from __future__ import annotations


def judge(answer: str, reference: str) -> tuple[str, str]:
    """The verdict (equal, unequal, undecided) and why."""
    return "undecided", "not there yet"
