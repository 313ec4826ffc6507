"""The shape of an answer around its expressions: lists, sets, tuples, matrices, relations.

Found in the text, before any expression is read: what is ordered and what is not, what bracket
stands where, which side of a relation is which, is a matter of notation and not of algebra.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rstar_sandbox.guest import units
from rstar_sandbox.guest.bounded import Unreadable
from rstar_sandbox.guest.separators import (
    CLOSING,
    LISTED,
    MIXED,
    OPENING,
    clauses,
    items,
    pieces,
    split,
)

MAX_ITEMS = 64


@dataclass(frozen=True, slots=True)
class Leaf:
    """An expression, and the unit it is measured in."""

    text: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Plain words."""

    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Ordered: a point, a vector, an open or closed interval, a ratio (brackets "::")."""

    brackets: str
    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Bag:
    """Unordered: a set in braces, in which repetition says nothing, or a bare list."""

    items: tuple[Tree, ...]
    is_set: bool = False
    joined: str = LISTED


@dataclass(frozen=True, slots=True)
class Union:
    """Sets joined."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of cells."""

    rows: tuple[tuple[Tree, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain: sides with operators between them."""

    sides: tuple[Tree, ...]
    operators: tuple[str, ...]


Tree = Leaf | Words | Group | Bag | Union | Matrix | Relation

_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mbox)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z' ,.-]*")
_OPERATOR = re.compile(r"\\(?:leq|geq|neq|lt|gt|in)(?![A-Za-z])|[<>=]")
_OPERATORS = {r"\leq": "<=", r"\geq": ">=", r"\neq": "!=", r"\lt": "<", r"\gt": ">", r"\in": "in"}
_MATRIX = re.compile(r"\\begin\s*\{(\w+)\}(?:\s*\{[clr|]*\})?(.*)\\end\s*\{\1\}", re.DOTALL)
_SIGNS = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_BASED = re.compile(r"\d+_")
_REALS = r"\mathbb{R}"


def structure(text: str) -> Tree:
    """The tree of a tidied text.

    Raises:
        Unreadable: brackets do not match, a part is missing, or it is far too long.
    """
    text = text.strip()
    if not text:
        raise Unreadable("a part is missing")
    if words := _words(text):
        return words
    if whole := _WRAPPED.fullmatch(text):
        return structure(whole[1])
    parts, word = clauses(text)
    if not word:
        parts, word = [item for part in split(text, ";") for item in items(part)], LISTED
    if len(parts) > 1:
        return _bag(parts, joined=word)
    parts = split(text, r"\cup")
    if len(parts) > 1:
        return Union(tuple(structure(part) for part in parts))
    return _relation(text) or _bracketed(text) or _leaf(text)


def _words(text: str) -> Words | None:
    plain = " ".join(_WRAPPED.sub(r" \1 ", text).split()).strip(".'\" ")
    if not _WORDS.fullmatch(plain) or plain.lower() in ("or", "and"):
        return None
    longest = max(len(word) for word in re.findall("[A-Za-z]+", plain))
    # "xy" and "abc" are products, and "A, B" is a list of choices.
    return Words(plain.casefold()) if longest > (1 if plain != text else 3) else None


def _bag(parts: list[str], *, is_set: bool = False, joined: str = LISTED) -> Bag:
    if len(parts) > MAX_ITEMS:
        raise Unreadable("too many items")
    found: list[Tree] = []
    for part in parts:
        tree = structure(part)
        if isinstance(tree, Bag) and not tree.is_set:
            found += tree.items
            # "1, 2 or 3" is one list of alternatives, "1 and 2 or 3" is not.
            joined = joined if tree.joined in (LISTED, joined) else MIXED
        else:
            found.append(tree)
    return Bag(tuple(found), is_set, joined)


def _relation(text: str) -> Relation | None:
    sides, operators, start = [], [], 0
    for at, depth, piece in pieces(text):
        if depth == 0 and at >= start and _OPERATOR.fullmatch(piece):
            sides.append(text[start:at])
            operators.append(_OPERATORS.get(piece, piece))
            start = at + len(piece)
    if not operators:
        return None
    trees = tuple(structure(side) for side in [*sides, text[start:]])
    return Relation(trees, tuple(operators))


def _bracketed(text: str) -> Tree | None:
    if text in (r"\emptyset", r"\{\}", r"\{ \}"):
        return Bag((), is_set=True)
    if text.replace(" ", "") == _REALS:
        return Group("()", (Leaf(r"-\infty"), Leaf(r"\infty")))
    if found := _MATRIX.fullmatch(text):
        if r"\begin" in found[2]:
            raise Unreadable("a matrix in a matrix")
        rows = [row for row in found[2].replace(r"\hline", "").split(r"\\") if row.strip()]
        return Matrix(tuple(tuple(structure(cell) for cell in row.split("&")) for row in rows))
    found_pieces = pieces(text)
    opening, closing = found_pieces[0][2], found_pieces[-1][2]
    closes = [at for at, depth, piece in found_pieces if depth == 0 and piece in CLOSING]
    if opening not in OPENING or closing not in CLOSING or closes != [found_pieces[-1][0]]:
        return None
    inside = text[len(opening) : len(text) - len(closing)]
    parts = items(inside, bracketed=True)
    if opening == r"\{" and closing == r"\}":
        for bar in ("|", r"\mid", ":"):
            if len(sides := split(inside, bar)) == 2:
                return Relation((structure(sides[0]), structure(sides[1])), ("with",))
        return _bag(parts, is_set=True)
    if len(parts) == 1:
        return structure(inside) if opening + closing in ("()", "[]", "{}") else None
    if len(parts) > MAX_ITEMS:
        raise Unreadable("too many items")
    brackets = "()" if opening == r"\langle" else opening + closing
    return Group(brackets, tuple(structure(part) for part in parts))


def _leaf(text: str) -> Tree:
    if len(parts := split(text, ":")) > 1:
        return Group("::", tuple(structure(part) for part in parts))
    if _SIGNS.search(text):
        if _SIGNS.search(text)[1] == "mp":  # type: ignore[index]
            raise Unreadable("the lower sign comes first")
        plus = _SIGNS.sub(lambda sign: "+" if sign[1] == "pm" else "-", text)
        minus = _SIGNS.sub(lambda sign: "-" if sign[1] == "pm" else "+", text)
        return Bag((structure(plus), structure(minus)))
    value, unit = units.split(text)
    return Leaf(value.strip(), unit)
