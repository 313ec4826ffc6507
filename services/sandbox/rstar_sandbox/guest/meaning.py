"""Whether two answers mean the same: shape against shape, value against value.

Strict: a bracket, an order, a repetition or a unit that differs makes another answer. Where
habits differ (a list for a point, a row for a column) the verdict is undecided.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import sympy

from rstar_sandbox.guest import units
from rstar_sandbox.guest.bounded import Unreadable
from rstar_sandbox.guest.grammar import read
from rstar_sandbox.guest.relations import as_set, flipped, named, unnamed, value
from rstar_sandbox.guest.structure import Bag, Group, Leaf, Matrix, Relation, Tree, Union, Words
from rstar_sandbox.guest.values import same_equation, same_value
from rstar_sandbox.guest.verdicts import EQUAL, UNDECIDED, UNEQUAL, Decision, together

APPROXIMATION_DIGITS = 3
"""A reference with at least so many decimals may be an approximation."""

_DECIMAL = re.compile(r"-?\d*\.(\d+)")
_NUMERAL = re.compile(
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|teen|twenty|thirty|forty"
    r"|hundred|thousand|million|half|third|quarter|infinit|none|no "
)
_BASED = re.compile(r"(\d+)_\{?(\d+)\}?")


def compare(ours: Tree, theirs: Tree) -> Decision:
    """The verdict on an answer (`ours`) and a reference.

    Raises:
        Unreadable: one of the expressions in them cannot be read.
    """
    ours, theirs = as_set(ours), as_set(theirs)
    if isinstance(ours, Relation) and isinstance(theirs, Relation):
        return _relations(ours, theirs)
    if isinstance(ours, Bag) and isinstance(theirs, Bag):
        return _bags(ours, theirs)
    ours, theirs = value(ours), value(theirs)
    match ours, theirs:
        case Leaf(), Leaf():
            return _leaves(ours, theirs)
        case Words(), Words():
            return (EQUAL, "the same words") if ours == theirs else (UNEQUAL, "other words")
        case (Words() as words, other) | (other, Words() as words):
            number = _is_number(other) and not _NUMERAL.search(words.text)
            return (UNEQUAL if number else UNDECIDED), "words against mathematics"
        case Bag(), Bag():
            return _bags(ours, theirs)
        case Group(), Group():
            return _groups(ours, theirs)
        case Union(), Union():
            return _unions(ours, theirs)
        case Matrix(), Matrix():
            return _matrices(ours, theirs)
    return _different(ours, theirs)


def _different(ours: Tree, theirs: Tree) -> Decision:
    """Two shapes. The same parts in another shape are a matter of habit."""
    if isinstance(ours, Relation) or isinstance(theirs, Relation):
        number = _is_number(ours) or _is_number(theirs)
        return (UNEQUAL if number else UNDECIDED), "a relation against none"
    if Union in (type(ours), type(theirs)) and Leaf in (type(ours), type(theirs)):
        return UNEQUAL, "a set against none"
    if Union in (type(ours), type(theirs)):
        return _unions(ours, theirs)
    our_parts, their_parts = _parts(ours), _parts(theirs)
    if len(our_parts) == len(their_parts) == 1:
        return compare(our_parts[0], their_parts[0])
    if len(our_parts) == len(their_parts):
        verdict, _ = _bags(Bag(tuple(our_parts)), Bag(tuple(their_parts)))
        if verdict != UNEQUAL:
            return UNDECIDED, "the same parts in another shape"
    return UNEQUAL, "another shape"


def _is_number(tree: Tree) -> bool:
    if not isinstance(tree, Leaf) or _BASED.fullmatch(tree.text):
        return False
    try:
        return not read(tree.text).free_symbols
    except Unreadable:
        return False


def _parts(tree: Tree) -> Sequence[Tree]:
    match tree:
        case Bag(items) | Group(_, items):
            return items
        case Matrix(rows):
            return [cell for row in rows for cell in row]
    return [tree]


def _leaves(ours: Leaf, theirs: Leaf) -> Decision:
    scale = units.factor(ours.unit, theirs.unit)
    if scale is None:
        return UNEQUAL, "another unit"
    our_base, their_base = _BASED.fullmatch(ours.text), _BASED.fullmatch(theirs.text)
    if our_base or their_base:
        return _in_base(ours, theirs)
    ours_value, theirs_value = read(ours.text), read(theirs.text)
    if isinstance(scale, str):
        verdict, reason = same_value(ours_value, theirs_value)
        return (UNDECIDED, "another unit") if verdict == EQUAL else (verdict, reason)
    ours_value = ours_value * sympy.Rational(scale.numerator, scale.denominator)
    decision = same_value(ours_value, theirs_value)
    if decision[0] == UNEQUAL and _approximates(ours, ours_value, theirs, theirs_value):
        return EQUAL, "the reference is its decimal approximation"
    return decision


def _approximates(ours: Leaf, value: sympy.Expr, theirs: Leaf, reference: sympy.Expr) -> bool:
    """Only an answer more precise than its reference can be what that approximates."""
    found, decimals = _DECIMAL.fullmatch(theirs.text), _DECIMAL.fullmatch(ours.text)
    if not found or len(found[1]) < APPROXIMATION_DIGITS or value.free_symbols or value.is_Integer:
        return False
    if decimals and len(decimals[1]) <= len(found[1]):
        return False
    half_unit = sympy.Rational(1, 2 * 10 ** len(found[1]))
    return bool(abs(value - reference).evalf(60) <= half_unit)


def _in_base(ours: Leaf, theirs: Leaf) -> Decision:
    digits = [leaf.text.replace("{", "").replace("}", "").partition("_") for leaf in (ours, theirs)]
    if digits[0] == digits[1]:
        return EQUAL, "the same digits in the same base"
    if digits[0][0] == digits[1][0] and not (digits[0][2] and digits[1][2]):
        return UNDECIDED, "one of them names no base"
    return UNEQUAL, "another number or another base"


def _bags(ours: Bag, theirs: Bag) -> Decision:
    as_set = ours.is_set or theirs.is_set
    ours, theirs = unnamed(ours), unnamed(theirs)
    our_items, their_items = list(ours.items), list(theirs.items)
    if as_set:
        our_items, their_items = _distinct(our_items), _distinct(their_items)
    if len(our_items) != len(their_items):
        return UNEQUAL, f"{len(our_items)} values instead of {len(their_items)}"
    open_reason = ""
    for item in our_items:
        for at, candidate in enumerate(their_items):
            verdict, reason = compare(item, candidate)
            if verdict == EQUAL:
                del their_items[at]
                break
            open_reason = open_reason or (reason if verdict == UNDECIDED else "")
        else:
            if open_reason:
                return UNDECIDED, open_reason
            return UNEQUAL, "a value that the reference does not have"
    return EQUAL, "the same values"


def _distinct(items: Sequence[Tree]) -> list[Tree]:
    found: list[Tree] = []
    for item in items:
        if all(compare(item, other)[0] != EQUAL for other in found):
            found.append(item)
    return found


def _groups(ours: Group, theirs: Group) -> Decision:
    if len(ours.items) != len(theirs.items):
        return UNEQUAL, f"{len(ours.items)} parts instead of {len(theirs.items)}"
    if ours.brackets != theirs.brackets and ("::" in (ours.brackets, theirs.brackets)):
        return UNEQUAL, "another shape"
    if ours.brackets != theirs.brackets and len(ours.items) == 2:
        return UNEQUAL, "other brackets"
    pairs = zip(ours.items, theirs.items, strict=True)
    return together((compare(*pair) for pair in pairs), "the same in the same order")


def _matrices(ours: Matrix, theirs: Matrix) -> Decision:
    if [len(row) for row in ours.rows] != [len(row) for row in theirs.rows]:
        return UNEQUAL, "another size"
    cells = zip(_parts(ours), _parts(theirs), strict=True)
    return together((compare(*pair) for pair in cells), "the same in every cell")


def _unions(ours: Tree, theirs: Tree) -> Decision:
    bags = [Bag(tree.items if isinstance(tree, Union) else (tree,)) for tree in (ours, theirs)]
    verdict, reason = _bags(*bags)
    if verdict == EQUAL:
        return verdict, reason
    try:
        sets = [sympy.Union(*map(_sympy_set, bag.items)) for bag in bags]
    except (TypeError, ValueError, NotImplementedError):
        return UNDECIDED, "the sets cannot be worked out"
    return (EQUAL, "the same set") if sets[0] == sets[1] else (UNEQUAL, "another set")


def _sympy_set(tree: Tree) -> sympy.Set:
    match tree:
        case Group(brackets, (Leaf(low), Leaf(high))):
            return sympy.Interval(read(low), read(high), brackets[0] == "(", brackets[1] == ")")
        case Bag(items, True) if all(isinstance(item, Leaf) for item in items):
            return sympy.FiniteSet(*(read(item.text) for item in items if isinstance(item, Leaf)))
    raise ValueError("neither an interval nor a finite set")


def _relations(ours: Relation, theirs: Relation) -> Decision:
    if ours.operators == theirs.operators == ("=",):
        return _equations(ours, theirs)
    candidates = [(ours.sides, ours.operators), (ours.sides[::-1], flipped(ours.operators))]
    verdicts = [
        together((compare(*pair) for pair in zip(sides, theirs.sides, strict=True)), "the same")
        for sides, operators in candidates
        if operators == theirs.operators
    ]
    if any(verdict == EQUAL for verdict, _ in verdicts):
        return EQUAL, "the same relation"
    if verdicts and all(isinstance(side, Leaf) for side in (*ours.sides, *theirs.sides)):
        names = all(len(side.text) == 1 for side in ours.sides if isinstance(side, Leaf))
        if names:
            return UNEQUAL, "another relation"
    return UNDECIDED, "relations of another form"


def _equations(ours: Relation, theirs: Relation) -> Decision:
    our_name, our_value = named(ours)
    their_name, their_value = named(theirs)
    if our_name and our_name == their_name:
        return compare(our_value, their_value)
    match ours.sides, theirs.sides:
        case (Leaf(a), Leaf(b)), (Leaf(c), Leaf(d)):
            return same_equation(read(a) - read(b), read(c) - read(d))
    return UNDECIDED, "equations of another form"
