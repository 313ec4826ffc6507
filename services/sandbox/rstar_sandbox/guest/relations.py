"""What relations say: the value a name is given, the interval an inequality describes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rstar_sandbox.guest.bounded import Unreadable
from rstar_sandbox.guest.grammar import read
from rstar_sandbox.guest.separators import ALIKE, LISTED, MIXED, OR
from rstar_sandbox.guest.structure import Bag, Group, Leaf, Relation, Tree, Union

_NAME = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z]\))?|\\(?!pi|infty)[a-z]+(?:_\{?\w+\}?)?")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_INFINITY = Leaf(r"\infty")
_REALS = Group("()", (Leaf(r"-\infty"), _INFINITY))


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
    """An inequality in one letter with plain bounds as the interval it describes.

    Raises:
        Unreadable: conditions are joined in a way that has two readings.
    """
    match tree:
        case Relation(sides, ("with",)):
            return _described(*sides)
        case Relation(_, ("in",)):
            return value(tree)
        case Relation():
            return _interval(tree) or tree
        case Bag(is_set=False) if len(tree.items) > 1:
            return _joined(tree)
    return tree


def _described(element: Tree, condition: Tree) -> Tree:
    """A set of all reals that meet a condition."""
    name: Tree = element
    domain: Tree = _REALS
    if isinstance(element, Relation) and element.operators == ("in",):
        name, domain = element.sides
    found = as_set(condition)
    conditions = condition.items if isinstance(condition, Bag) else (condition,)
    about = {_letter(one) for one in conditions}
    if not isinstance(name, Leaf) or about != {name.text} or domain != _REALS:
        raise Unreadable("a set of other things than the reals that its condition bounds")
    if not isinstance(found, Group | Union | Bag):
        raise Unreadable("a set described in words")
    return found


def _joined(bag: Bag) -> Tree:
    """Conditions on one letter as the set they describe; a list of solutions as it is."""
    if bag.joined == ALIKE:
        return bag
    relations = [item for item in bag.items if isinstance(item, Relation)]
    alternatives = bag.joined in (OR, MIXED)
    if all(relation.operators == ("=",) for relation in relations):
        if alternatives and len({_subject(relation) for relation in relations}) > 1:
            raise Unreadable("alternatives of several names")
        return bag
    letters = {_letter(item) for item in bag.items}
    if len(letters) > 1 or None in letters:
        if alternatives:  # a list without a word means that all of them hold
            raise Unreadable("alternatives of several names")
        return bag
    sets = [_solutions(relation) for relation in relations]
    if any(found is None for found in sets) or bag.joined in (LISTED, MIXED):
        raise Unreadable("conditions that both or one of may hold")
    if bag.joined == OR:
        return Union(tuple(found for found in sets if found is not None))
    return _both(sets)


def _subject(relation: Relation) -> str | Tree:
    """What an equation is about: a name, else all of its left side."""
    return named(relation)[0] or relation.sides[0]


def _solutions(relation: Relation) -> Tree | None:
    """All values that one condition leaves; None where it does not say."""
    if relation.operators == ("=",):
        return Bag((value(relation),), is_set=True)
    found = as_set(relation)
    return found if isinstance(found, Group) else None


def _both(sets: Sequence[Tree | None]) -> Group:
    """What intervals have in common."""
    intervals = [found for found in sets if isinstance(found, Group)]
    if len(intervals) < len(sets):
        raise Unreadable("conditions that both or one of may hold")
    low, opening = intervals[0].items[0], intervals[0].brackets[0]
    high, closing = intervals[0].items[1], intervals[0].brackets[1]
    for interval in intervals[1:]:
        if _below(low, interval.items[0]) or (
            interval.brackets[0] == "(" and not _below(interval.items[0], low)
        ):
            low, opening = interval.items[0], interval.brackets[0]
        if _below(interval.items[1], high) or (
            interval.brackets[1] == ")" and not _below(high, interval.items[1])
        ):
            high, closing = interval.items[1], interval.brackets[1]
    if not _below(low, high):  # "x < 1 and x > 2" often lists what an "or" would join
        raise Unreadable("conditions that exclude each other")
    return Group(opening + closing, (low, high))


def _below(low: Tree, high: Tree) -> bool:
    if not isinstance(low, Leaf) or not isinstance(high, Leaf):
        raise Unreadable("a bound that is no number")
    try:
        return bool(read(low.text) < read(high.text))
    except TypeError as error:
        raise Unreadable("bounds that cannot be compared") from error


def _letter(tree: Tree) -> str | None:
    """The letter that an inequality, a membership or a value is about."""
    if not isinstance(tree, Relation):
        return None
    if tree.operators in (("=",), ("in",)):
        name = named(tree)[0]
        return name if len(name) == 1 else None
    if not set(tree.operators) <= set(_FLIPPED):
        return None
    found = [side.text for side in tree.sides if isinstance(side, Leaf) and side.text.isalpha()]
    return found[0] if len(found) == 1 and len(found[0]) == 1 else None


def _interval(tree: Relation) -> Group | None:
    if not set(tree.operators) <= set(_FLIPPED) or not _letter(tree):
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
