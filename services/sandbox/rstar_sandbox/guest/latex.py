"""Whether two pieces of LaTeX mean the same.

Untrusted work: it parses what a model wrote, so it runs in a child of its own, under limits and a
clock, and only this function's return reaches the channel that carries the verdict. Equality is
strict: exact numbers must be exactly equal; a decimal stands for an approximation only in the
reference, and only if it has some digits. Whatever cannot be decided is undecided, never unequal.
"""

from __future__ import annotations

import re

from rstar_sandbox.guest.bounded import Unreadable
from rstar_sandbox.guest.meaning import compare
from rstar_sandbox.guest.notation import refuse, tidy
from rstar_sandbox.guest.structure import structure
from rstar_sandbox.guest.verdicts import EQUAL, UNDECIDED, Decision

_SPACES = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")
"""Those that separate nothing."""


def judge(answer: str, reference: str) -> Decision:
    """The verdict and why."""
    answer, reference = tidy(answer), tidy(reference)
    if _SPACES.sub("", answer) == _SPACES.sub("", reference):
        return EQUAL, "the same text"
    for name, text in (("reference", reference), ("answer", answer)):
        if complaint := refuse(text):
            return UNDECIDED, f"the {name} {complaint}"
    trees = []
    for name, text in (("answer", answer), ("reference", reference)):
        try:
            trees.append(structure(text))
        except Unreadable as error:
            return UNDECIDED, f"the {name} cannot be read: {error}"
    try:
        return compare(*trees)
    except Unreadable as error:
        return UNDECIDED, f"an expression cannot be read: {error}"
