"""The form an answer must have where its question asks for one: an echo of it is no answer.

Asked only of answers whose value is right. Textual, like form itself, and linear in the text.
What breaks the asked form is unequal; where the form cannot be told the verdict is undecided. A
reference that does not have the form itself shows that none was meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import StrEnum

from rstar_sandbox.guest.notation import tidy
from rstar_sandbox.judging import Judgement, Verdict, number

MAX_QUESTION_CHARACTERS = 16_384
MIN_ECHO_CHARACTERS = 3


class Form(StrEnum):
    """What a question may ask for."""

    EXPANDED = "expanded"
    FACTORED = "factored"
    SIMPLIFIED = "simplified"
    SORTED = "sorted"
    COLLECTED = "collected"


_ASKED = (
    (Form.EXPANDED, re.compile(r"\b(?:expand|multiply out)\b", re.IGNORECASE)),
    (Form.FACTORED, re.compile(r"\b(?:Factor|factor(?= the| completely| \$)|[Ff]actori[sz]e)\b")),
    (Form.COLLECTED, re.compile(r"\b(?:collect|combine)\b", re.IGNORECASE)),
    (Form.SORTED, re.compile(r"\b(?:sort|arrange|(?:as|de|in)\w+ing order)\b", re.IGNORECASE)),
    (Form.SIMPLIFIED, re.compile(r"\b(?:simplif(?:y|ied)|simplest|lowest terms)\b", re.IGNORECASE)),
)
_TIMES = re.compile(r"(?<=\d)\s*(?:\*|\\cdot)\s*(?=\d)")
_NOISE = re.compile(r"\s|\$|(?<!\d)\*|\*(?!\d)|\\cdot")
"""Signs of multiplication say nothing, except between digits."""

_FRACTION = re.compile(
    r"\\frac\{(\d{1,99})\}\{(\d{1,99})\}|(?<![\d.])(\d{1,99})/(\d{1,99})(?![\d.^!])"
)
_TAKES_NUMBER = re.compile(
    r"(?:[\^_]|\\(?:sqrt(?:\[\d+\])?|(?:arc)?(?:sin|cos|tan)h?|cot|sec|csc|ln|lg|log|exp))$"
)
"""What makes the digits behind it its own: "x^2/6" has no fraction of digits."""

_ROOT = re.compile(r"\\sqrt(?:\{(\d{1,9})\}|(\d))|sqrt\((\d{1,9})\)")
_TOKEN = re.compile(r"\\[A-Za-z]+|\d+(?:\.\d+)?|\S")
_FACTOR = re.compile(
    r"\*?([A-Za-z]|\d+(?:\.\d+)?|/\d+|\\frac\{\d+\}\{\d+\}|\(([^()]*)\))(?:\^\{?(\d{1,2})\}?)?"
)
_LETTER = re.compile(r"[A-Za-z](?:\^\{?(\d{1,2})\}?)?")
_UNBRACED = re.compile(r"\\frac(\d)(\d)")


def asked(question: str) -> Form | None:
    """The form a question asks for, if any."""
    if not question or len(question) > MAX_QUESTION_CHARACTERS:
        return None
    return next((form for form, words in _ASKED if words.search(question)), None)


def in_form(form: Form, answer: str, reference: str, question: str) -> Judgement | None:
    """Why an answer of the right value is not equal after all; None if it is."""
    ours, theirs = _bare(answer), _bare(reference)
    if ours == theirs:
        return None
    echo = len(ours) >= MIN_ECHO_CHARACTERS and not ours.isalnum() and number(answer) is None
    if echo and _occurs(ours, _bare(question)):
        return Judgement(Verdict.UNEQUAL, "an echo of the question")
    return _CHECKS[form](ours, theirs)


def _bare(text: str) -> str:
    return _UNBRACED.sub(r"\\frac{\1}{\2}", _NOISE.sub("", _TIMES.sub("*", tidy(text))))


def _occurs(part: str, whole: str) -> bool:
    """Not inside a longer word, number or product."""
    at = whole.find(part)
    while at >= 0:
        before, after = whole[at - 1 : at], whole[at + len(part) : at + len(part) + 1]
        if before not in tuple("+-/^({0123456789.") and after not in tuple("+-/^({0123456789"):
            return True
        at = whole.find(part, at + 1)
    return False


def _terms(text: str) -> list[str]:
    """Of a sum, with their signs; brackets of all kinds count."""
    terms, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character in "+-" and depth == 0 and at > start and text[at - 1] not in "+-^/(*":
            terms.append(text[start:at])
            start = at
    return [*terms, text[start:]]


def _has_factor_sum(text: str) -> bool:
    """A sum in round brackets that something multiplies or raises."""
    opened: list[int] = []
    for at, character in enumerate(text):
        if character == "(":
            opened.append(at)
        elif character == ")" and opened:
            start = opened.pop()
            function = re.search(r"\\[a-z]+$|sqrt$|log$|sin$|cos$", text[max(0, start - 8) : start])
            if not function and len(_terms(text[start + 1 : at])) > 1:
                return True
    return False


def _expanded(ours: str, theirs: str) -> Judgement | None:
    if _has_factor_sum(theirs):
        return None
    if _has_factor_sum(ours):
        return Judgement(Verdict.UNEQUAL, "not expanded")
    if len(_terms(ours)) > len(_terms(theirs)):
        return Judgement(Verdict.UNDECIDED, "it has more terms than the reference")
    return None


def _collected(ours: str, theirs: str) -> Judgement | None:
    if len(_terms(ours)) > len(_terms(theirs)):
        return Judgement(Verdict.UNEQUAL, "terms are left to collect")
    if _has_factor_sum(ours) and not _has_factor_sum(theirs):
        return Judgement(Verdict.UNDECIDED, "it has factors where the reference has terms")
    return None


def _factored(ours: str, theirs: str) -> Judgement | None:
    wanted = _degrees(theirs)
    if not wanted or "(" not in theirs:
        return None
    found = _degrees(ours)
    if found is None:
        if len(_terms(ours)) > 1:
            return Judgement(Verdict.UNEQUAL, "not factored")
        return Judgement(Verdict.UNDECIDED, "its factors cannot be told")
    # A factor's degree is never less than it seems: the same degrees are the same factors.
    if found == wanted:
        return None
    if len(found) < len(wanted):
        return Judgement(Verdict.UNEQUAL, "not factored completely")
    return Judgement(Verdict.UNDECIDED, "it has other factors than the reference")


def _degrees(text: str) -> list[int] | None:
    """Apparent degrees of the factors with letters, each as often as it counts."""
    text = text.lstrip("+-")
    if len(_terms(text)) > 1:
        return None
    degrees: list[int] = []
    at = 0
    while at < len(text):
        found = _FACTOR.match(text, at)
        if not found:
            return None
        inside = found[2] if found[2] is not None else found[1]
        degree = 0 if inside.startswith("\\") else max(map(_degree, _terms(inside)))
        degrees += [degree] * int(found[3] or 1) if degree else []
        at = found.end()
    return sorted(degrees)


def _degree(term: str) -> int:
    return sum(int(letter[1] or 1) for letter in _LETTER.finditer(term))


def _simplified(ours: str, theirs: str) -> Judgement | None:
    for found in _FRACTION.finditer(ours):
        if found[3] and _TAKES_NUMBER.search(ours, max(0, found.start() - 24), found.start()):
            continue
        above, below = int(found[1] or found[3]), int(found[2] or found[4])
        if math.gcd(above, below) > 1 or below == 1:
            return Judgement(Verdict.UNEQUAL, "a fraction is not in lowest terms")
    for found in _ROOT.finditer(ours):
        under = int(found[1] or found[2] or found[3])
        square = any(under % (n * n) == 0 for n in range(2, math.isqrt(under) + 1))
        if square and found[0] not in theirs:
            return Judgement(Verdict.UNEQUAL, "a root can be drawn")
    if len(_TOKEN.findall(ours)) > 2 * len(_TOKEN.findall(theirs)) + 4:
        return Judgement(Verdict.UNDECIDED, "much longer than the reference")
    return None


def _sorted(ours: str, theirs: str) -> Judgement | None:
    if number(theirs) is not None:
        return None
    our_items, their_items = (
        [_comparable(item) for item in re.split("[,<>]", text.strip("[](){}\\"))]
        for text in (ours, theirs)
    )
    if our_items == their_items or len(their_items) < 2:
        return None
    if sorted(map(str, our_items)) == sorted(map(str, their_items)):
        return Judgement(Verdict.UNEQUAL, "another order")
    return Judgement(Verdict.UNDECIDED, "its order cannot be told")


def _comparable(item: str) -> object:
    value = number(item)
    return item if value is None else value


_CHECKS: dict[Form, Callable[[str, str], Judgement | None]] = {
    Form.EXPANDED: _expanded,
    Form.FACTORED: _factored,
    Form.SIMPLIFIED: _simplified,
    Form.SORTED: _sorted,
    Form.COLLECTED: _collected,
}
