"""What relations say: the value a name is given, the interval an inequality describes."""

from __future__ import annotations

import re

from rstar_sandbox.guest.bounded import Unreadable
from rstar_sandbox.guest.grammar import read
from rstar_sandbox.guest.structure import Bag, Group, Leaf, Relation, Tree, Union

_NAME = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z]\))?|\\(?!pi|infty)[a-z]+(?:_\{?\w+\}?)?")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_INFINITY = Leaf(r"\infty")


def named(tree: Tree) -> tuple[str, Tree]:
    """The name on one side of an equation and what it is said to be; no name otherwise."""
    if isinstance(tree, Relation) and tree.operators in (("=",), ("in",)):
        for side, other in (tree.sides, tree.sides[::-1]):
            if isinstance(side, Leaf) and _NAME.fullmatch(side.text.replace(" ", "")):
                return side.text.replace(" ", ""), other
            if tree.operators == ("in",):
                break
    return "", tree


def value(tree: Tree) -> Tree:
    """Without the name it was given, if any."""
    return named(tree)[1]


def unnamed(bag: Bag) -> Bag:
    """A list of solutions for one name becomes a list of values."""
    pairs = [named(item) for item in bag.items]
    if len({name for name, _ in pairs}) == 1:
        return Bag(tuple(meant for _, meant in pairs), bag.is_set)
    return bag


def as_set(tree: Tree) -> Tree:
    """An inequality in one letter with plain bounds as the interval it describes."""
    if isinstance(tree, Relation) and tree.operators == ("with",):
        condition = as_set(tree.sides[1])
        if isinstance(condition, Group | Union | Bag):
            return condition
        raise Unreadable("a set described in words")
    if isinstance(tree, Relation) and tree.operators == ("in",):
        return value(tree)
    if isinstance(tree, Relation):
        return _interval(tree) or tree
    if isinstance(tree, Bag) and not tree.is_set and len(tree.items) > 1:
        sets = [as_set(item) for item in tree.items]
        letters = {_letter(item) for item in tree.items}
        if len(letters) == 1 and None not in letters and all(isinstance(s, Group) for s in sets):
            return Union(tuple(sets))
    return tree


def _letter(tree: Tree) -> str | None:
    """The letter an inequality bounds."""
    if not isinstance(tree, Relation) or not set(tree.operators) <= set(_FLIPPED):
        return None
    found = [side.text for side in tree.sides if isinstance(side, Leaf) and side.text.isalpha()]
    return found[0] if len(found) == 1 and len(found[0]) == 1 else None


def _interval(tree: Relation) -> Group | None:
    if not _letter(tree):
        return None
    sides, operators = tree.sides, tree.operators
    if operators[0] in (">", ">="):
        sides, operators = sides[::-1], flipped(operators)
    if set(operators) - {"<", "<="}:
        return None
    at = next(n for n, side in enumerate(sides) if isinstance(side, Leaf) and side.text.isalpha())
    if len(sides) == 3 and at == 1:
        low, high = sides[0], sides[2]
        brackets = ("[" if operators[0] == "<=" else "(") + ("]" if operators[1] == "<=" else ")")
    elif len(sides) == 2 and at == 0:
        low, high, brackets = Leaf(r"-\infty"), sides[1], "(]" if operators[0] == "<=" else "()"
    elif len(sides) == 2:
        low, high, brackets = sides[0], _INFINITY, "[)" if operators[0] == "<=" else "()"
    else:
        return None
    if any(not isinstance(side, Leaf) or read(side.text).free_symbols for side in (low, high)):
        return None
    return Group(brackets, (low, high))


def flipped(operators: tuple[str, ...]) -> tuple[str, ...]:
    """The operators of a chain read from its other end."""
    return tuple(_FLIPPED.get(operator, operator) for operator in reversed(operators))
