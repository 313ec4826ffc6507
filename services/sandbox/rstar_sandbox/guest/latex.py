"""Whether two pieces of LaTeX mean the same.

Untrusted work: it parses what a model wrote, so it runs in a child of its own, under limits and a
clock, and only this function's return reaches the channel that carries the verdict. Equality is
strict: exact numbers must be exactly equal; a decimal stands for an approximation only in the
reference, and only if it has some digits. Whatever cannot be decided is undecided, never unequal.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rstar_sandbox.guest import units
from rstar_sandbox.guest.bounded import Unreadable
from rstar_sandbox.guest.meaning import compare
from rstar_sandbox.guest.notation import refuse, same_list, tidy
from rstar_sandbox.guest.relations import named
from rstar_sandbox.guest.separators import ALIKE, MIXED
from rstar_sandbox.guest.structure import Bag, Relation, Tree, structure
from rstar_sandbox.guest.verdicts import EQUAL, UNDECIDED, UNEQUAL, Decision

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
    decision = _compared(answer, reference)
    if decision[0] == UNEQUAL and same_list(answer, reference):
        return UNDECIDED, "a comma that may group digits or part numbers"
    return (decision[0] == UNEQUAL and _with_units(answer, reference)) or decision


def _compared(answer: str, reference: str) -> Decision:
    trees = []
    for name, text in (("answer", answer), ("reference", reference)):
        try:
            trees.append(structure(text))
        except Unreadable as error:
            return UNDECIDED, f"the {name} cannot be read: {error}"
    if _alike(*trees):
        return EQUAL, "the same parts, joined in the same way"
    try:
        decision = compare(*trees)
    except Unreadable as error:
        return UNDECIDED, f"an expression cannot be read: {error}"
    names = [_names(tree) for tree in trees]
    if decision[0] == EQUAL and names[0] != names[1] and max(map(len, names)) > 1:
        return UNDECIDED, "the same values, under other names"
    return decision


def _names(tree: Tree) -> set[str]:
    """To which a list gives values."""
    return {named(item)[0] for item in tree.items} - {""} if isinstance(tree, Bag) else set()


def _with_units(answer: str, reference: str) -> Decision | None:
    """The verdict on two that differ, if letters at the end of one make another as a unit.

    They are one where the other side has its unit spelled out, and may be one where a space sets
    them apart.
    """
    pair = answer, reference
    measured = [bool(units.split(text)[1]) for text in pair]
    read = tuple(units.spelled(text, spaced=not any(measured)) for text in pair)
    if read == pair:
        return None
    verdict, reason = _compared(*read)
    if verdict == EQUAL and any(measured):
        return EQUAL, reason
    return None if verdict == UNEQUAL else (UNDECIDED, "letters that may be a unit")


def _alike(ours: Tree, theirs: Tree) -> bool:
    """Whether two lists have the same items, so that what joins these need not be understood."""
    if not isinstance(ours, Bag) or not isinstance(theirs, Bag):
        return False
    if ours.joined != theirs.joined or ours.joined == MIXED or _names(ours) != _names(theirs):
        return False
    if not any(isinstance(item, Relation) for item in ours.items):
        return False
    try:
        return compare(replace(ours, joined=ALIKE), replace(theirs, joined=ALIKE))[0] == EQUAL
    except Unreadable:
        return False
