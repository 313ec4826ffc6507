"""Variants of a reference answer: some must be judged equal to it, others never.

Textual and blind to meaning, so that nothing the judge believes is built into its own test. All
choices are drawn from a hash of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from rstar_sandbox.judging import AnswerKind, number


@dataclass(frozen=True, slots=True)
class Variant:
    """A changed answer and what was changed."""

    change: str
    answer: str


DIGITS_CHANGED = 2
"""Of each reference, at most."""

_INTEGER_FRACTION = re.compile(
    r"(?<![\d}])(?<![\d}] )\\frac\s*(?:\{(\d+)\}\{(\d+)\}|\s?(\d)\s?(\d))(?![\w\\({])"
)
_TUPLE = re.compile(r"(?<![A-Za-z\d}])\(([^,()\[\]{}]*),([^()\[\]{}]*)(?=[)\]])")
_SET = re.compile(r"\\\{([^{}|]*)\\\}")
_BINARY = re.compile(r"(?<=[\w)}\]!])\s*[+-]")
_UNIT = re.compile(r"\s*(?:\\(?:text|mbox)\{ ?[a-z ]+\}(?:\^\{?\d\}?)?|\^\{?\\circ\}?)$")
_ROWS = re.compile(r"(\\begin\{pmatrix\})(.*?)\\\\(.*?)((?:\\\\.*?)?\\end\{pmatrix\})")
_ORDERED = re.compile(
    r"\b(?:order|sort|arrange|rank|respectively|least to greatest)\b", re.IGNORECASE
)
_ENDS = set("+-,;=<>|)}]&:")


def corruptions(reference: str, kind: AnswerKind) -> Iterator[Variant]:
    """Answers that are wrong if `reference` is right."""
    rng = Random(reference)
    digits = [found.start() for found in re.finditer(r"\d", reference)]
    for at in rng.sample(digits, min(DIGITS_CHANGED, len(digits))):
        other = rng.choice([digit for digit in "123456789" if digit != reference[at]])
        yield Variant("digit", reference[:at] + other + reference[at + 1 :])
    terms = list(_BINARY.finditer(reference))
    for found in rng.sample(terms, min(1, len(terms))):
        yield Variant(
            "term", reference[: found.start()] + reference[_end(reference, found.end()) :]
        )
    if flipped := _flip(reference, rng):
        yield Variant("sign", flipped)
    if permuted := _permute(reference, kind):
        yield Variant("order", permuted)


def rewritings(reference: str, kind: AnswerKind, question: str) -> Iterator[Variant]:
    """Answers that say the same in another way."""
    spaced = re.sub(r"(?<=[\w)}])([+*/=,])(?=[\w(\\])", r"\1 ", reference)
    yield Variant("spacing", f" {spaced} ")
    if kind is AnswerKind.EXACT or kind is AnswerKind.TEXT:
        return
    plain = number(reference) is not None
    if plain and not re.search(r"[%$\\]", reference):
        yield Variant("unit", rf"{reference}\text{{ cm}}")
        yield Variant("unit", f"{reference} hours")
        yield Variant("dollar signs", f"${reference}$")
    elif (unit := _UNIT.search(reference)) and unit.start():
        yield Variant("unit", _UNIT.sub("", reference))
    if kind is AnswerKind.NUMBER:
        return
    yield Variant("box", rf"\boxed{{{reference}}}")
    if r"\frac" in reference:
        yield Variant("dfrac", reference.replace(r"\frac", r"\dfrac"))
    if "(" in reference and r"\left" not in reference:
        yield Variant("left", re.sub(r"([()])", _sized, reference))
    if _INTEGER_FRACTION.search(reference):
        yield Variant("slash", _INTEGER_FRACTION.sub(_slashed, reference))
    if not _ORDERED.search(question) and (permuted := _reverse(reference)):
        yield Variant("unordered", permuted)


def _end(text: str, at: int) -> int:
    """Where the term that begins at `at` ends."""
    depth = 0
    while at < len(text):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth < 0 or (depth == 0 and text[at] in _ENDS and text[at] not in ")]}"):
            return at - (text[at - 1] == "\\")
        if depth == 0 and re.match(r"\\(leq|geq|text|cup|in|pm)", text[at:]):
            return at
        at += 1
    return at


def _flip(text: str, rng: Random) -> str:
    if "|" in text or r"\text" in text:
        return ""
    signs = [found.start() for found in re.finditer(r"[+-]", text)]
    if signs:
        at = rng.choice(signs)
        return text[:at] + ("-" if text[at] == "+" else "+") + text[at + 1 :]
    if re.match(r"[1-9]|\\frac|\\sqrt|\d+\.\d", text) and number(text) != 0:
        return f"-{text}"
    return ""


def _permute(text: str, kind: AnswerKind) -> str:
    if kind is AnswerKind.EXACT:
        parts = [part.strip() for part in text.split(",")]
        if len(parts) > 1 and parts[0] != parts[1] and not re.search(r"[\[(]", text):
            return ", ".join([parts[1], parts[0], *parts[2:]])
        return ""
    if (found := _ROWS.search(text)) and found[2].strip() != found[3].strip():
        return (
            text[: found.start()]
            + f"{found[1]}{found[3]}\\\\{found[2]}{found[4]}"
            + text[found.end() :]
        )
    found = _TUPLE.search(text)
    if found and found[1].strip() != found[2].partition(",")[0].strip() and r"\cup" not in text:
        first, rest = found[1].strip(), found[2].split(",")
        swapped = ",".join([rest[0], first, *rest[1:]])
        return f"{text[: found.start()]}({swapped}{text[found.end() :]}"
    return ""


def _reverse(text: str) -> str:
    if found := _SET.fullmatch(text):
        parts = found[1].split(",")
        return r"\{" + ",".join(reversed(parts)) + r"\}" if len(parts) > 1 else ""
    parts = _top_level(text)
    if len(parts) > 1 and number(text) is None and not re.search(r"=|\\text|or|and|where", text):
        return ", ".join(reversed(parts))
    return ""


def _top_level(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0 and text[at + 1 : at + 3] != r"\!":
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def _sized(bracket: re.Match[str]) -> str:
    return r"\left(" if bracket[0] == "(" else r"\right)"


def _slashed(fraction: re.Match[str]) -> str:
    above, below = fraction[1] or fraction[3], fraction[2] or fraction[4]
    whole = fraction.string.lstrip("-") == fraction[0]
    return f"{above}/{below}" if whole else f"({above}/{below})"
