"""Where a text divides: at commas, semicolons and joining words that stand in no bracket.

A comma between digits may also group them. Which one it is, is told from what stands around it;
where both readings are left the text is `Unreadable`.
"""

from __future__ import annotations

import re

from rstar_sandbox.guest.bounded import Unreadable

LISTED, AND, OR, MIXED = ",", "and", "or", "and, or"
"""How the items of a list are joined."""

ALIKE = ""
"""Of lists that are held against each other: joined in the same way, whatever it means."""

_PIECE = re.compile(r"\\(?:begin|end)\s*\{\w+\}|\\langle|\\rangle|\\[A-Za-z]+|\\.|.", re.DOTALL)
OPENING = frozenset({"(", "[", "{", r"\{", r"\langle"})
CLOSING = frozenset({")", "]", "}", r"\}", r"\rangle"})
_JOINED = re.compile(
    r"\s*,?\s*(?:\\(?:text|mbox|textrm)\s*\{\s*,?\s*(or|and)\s*\}"
    r"|(?<![A-Za-z\\])(or|and)(?![A-Za-z]))\s*"
)
_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\S)")
_CUT = re.compile(r"\d,0\d\d(?!\d)")
"""No number in a list begins with a nought and has three digits."""

_BEFORE_NUMBER = re.compile(
    r"(?:^|[-+*/=<>(\[{|:;$]|,\s|\\(?:pm|mp|leq|geq|neq|lt|gt|in|cdot|times|div))\s*$"
)
"""What a number may follow; digits after a command or a caret may be its argument."""


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that stand in no bracket."""
    parts, start = [], 0
    for at, depth, piece in pieces(text):
        if depth == 0 and piece == separator:
            parts.append(text[start:at])
            start = at + len(piece)
    return [*parts, text[start:]]


def clauses(text: str) -> tuple[list[str], str]:
    """The parts between joining words, and how these join them; no word where there is none."""
    depths = {at: depth for at, depth, _ in pieces(text)}
    parts, words, start = [], set(), 0
    for found in _JOINED.finditer(text):
        if depths.get(found.start()) == 0:
            parts.append(text[start : found.start()])
            words.add(found[1] or found[2])
            start = found.end()
    word = MIXED if len(words) > 1 else "".join(words)
    return [*parts, text[start:]], word


def items(text: str, *, bracketed: bool = False) -> list[str]:
    """The parts between commas that do not group digits; `bracketed` if they fill a bracket.

    Raises:
        Unreadable: a comma may group digits or part items.
    """
    commas = [at for at, depth, piece in pieces(text) if depth == 0 and piece == ","]
    grouping = set(commas) & _grouping(text, commas, bracketed=bracketed)
    parts, start = [], 0
    for at in commas:
        if at not in grouping:
            if _CUT.match(text, at - 1):
                raise Unreadable("a comma that may group digits or part numbers")
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _grouping(text: str, commas: list[int], *, bracketed: bool) -> set[int]:
    """The commas that group digits."""
    sure, open_ = set[int](), set[int]()
    for found in _GROUPED.finditer(text):
        if _BEFORE_NUMBER.search(text[: found.start()]):
            places = {at for at in commas if found.start() < at < found.end()}
            (sure if _CUT.search(found[0]) else open_).update(places)
    others = [at for at in commas if at not in sure and at not in open_]
    if not open_:
        return sure
    if not others:
        # A pair needs its comma; one that stands in no bracket would have a space behind it.
        return sure if bracketed else sure | open_
    if sure or all(text[at + 1 : at + 2] == " " for at in others):
        raise Unreadable("a comma that may group digits or part numbers")
    return sure


def pieces(text: str) -> list[tuple[int, int, str]]:
    """Where each piece begins, how deep in brackets it stands (a bracket: outside), and itself."""
    found_pieces, depth = [], 0
    for found in _PIECE.finditer(text):
        piece = found[0]
        if piece in CLOSING or piece.startswith(r"\end"):
            depth -= 1
        if depth < 0:
            raise Unreadable("a bracket closes that was not opened")
        found_pieces.append((found.start(), depth, piece))
        if piece in OPENING or piece.startswith(r"\begin"):
            depth += 1
    if depth:
        raise Unreadable("a bracket is not closed")
    return found_pieces
