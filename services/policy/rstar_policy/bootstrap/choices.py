"""Every operation of the menu on every fitting tuple of values, with the weight it is drawn by."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from rstar_policy.bootstrap.menu import Menu, Operation, Value

ALL_USED = 6.0
"""How much likelier arguments are that leave none of the question's values unused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One operation on one tuple of arguments."""

    operation: Operation
    arguments: tuple[Value, ...]
    weight: float


def choices_over(
    menu: Menu, values: tuple[Value, ...], results: tuple[Value, ...]
) -> tuple[Choice, ...]:
    """All choices; once there are results, those that go on from the last one.

    An operation's weight does not grow with the number of its argument tuples, so that operations
    with many arguments are not favoured.
    """
    pool = (*values, *results[-1:])
    required = {value.origin for value in values if value.explicit}
    options: list[Choice] = []
    for operation in menu.operations:
        tuples = _fitting(operation, pool)
        if results:
            tuples = [one for one in tuples if results[-1] in one]
        weights = [
            ALL_USED if not results and required <= {value.origin for value in one} else 1.0
            for one in tuples
        ]
        share = max(weights, default=0.0) / sum(weights) if weights else 0.0
        options += [
            Choice(operation=operation, arguments=one, weight=weight * share)
            for one, weight in zip(tuples, weights, strict=True)
        ]
    return tuple(options)


def _fitting(operation: Operation, pool: tuple[Value, ...]) -> list[tuple[Value, ...]]:
    wanted = operation.values
    found = []
    for one in permutations([value for value in pool if value.type in wanted], len(wanted)):
        if tuple(value.type for value in one) != wanted:
            continue
        if len({value.origin for value in one}) < len(one):
            continue
        codes = [value.code for value in one]
        if operation.any_order and codes[:2] != sorted(codes[:2]):
            continue
        found.append(one)
    return found
