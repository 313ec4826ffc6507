"""What the guest's judge can say."""

from __future__ import annotations

from collections.abc import Iterable

EQUAL, UNEQUAL, UNDECIDED = "equal", "unequal", "undecided"

Decision = tuple[str, str]
"""A verdict and why."""


def together(decisions: Iterable[Decision], what: str) -> Decision:
    """Of all parts: one that differs decides, one that is open leaves all open."""
    found = UNDECIDED, ""
    for verdict, reason in decisions:
        if verdict == UNEQUAL:
            return UNEQUAL, reason
        if verdict == UNDECIDED:
            found = UNDECIDED, found[1] or reason
    return found if found[1] else (EQUAL, what)
