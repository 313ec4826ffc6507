"""Names by origin: `mini:2` is the model that round 2 of run `mini` made, or what it searched."""

from __future__ import annotations

import re
from collections.abc import Callable

from rstar.v1 import evolution_pb2
from rstar_common.errors import InvalidInput, NotFound
from rstar_trainer.evolution.problems import PREFIX
from rstar_trainer.promotion import MODELS

_PROBLEMS = re.compile(rf"{PREFIX}[^/]+/round-\d+/problems\.txt")
"""What `problems_of` has become in the recipe of a run that goes on."""

MOST_DIGITS = 4
"""Of a round's number."""


def name_versions(
    recipe: evolution_pb2.Recipe,
    run_of: Callable[[str], evolution_pb2.Run],
    *,
    known: evolution_pb2.Recipe | None = None,
) -> evolution_pb2.Recipe:
    """The recipe with versions and objects in place of each `RUN:ROUND`.

    Of `problems_of` the round's own object of problem ids becomes the name, and `problems` their
    number. Of a run that was begun where others are, `known` says what their names stood for.

    Raises:
        InvalidInput: there is no such run, or its round made no such model, or searched nothing;
            names the field.
    """
    named = evolution_pb2.Recipe()
    named.CopyFrom(recipe)
    for number, round_ in enumerate(named.rounds):
        before = known.rounds[number] if known and number < len(known.rounds) else None
        for model in MODELS:
            for field in (f"{model}_version", f"search_{model}"):
                given = getattr(round_, field)
                if before and _is_elsewhere(given, run_of):
                    setattr(round_, field, getattr(before, field))
                elif ":" in given:
                    version = _made(given, model, run_of, f"rounds[{number}].{field}")
                    setattr(round_, field, version)
        if before and _is_elsewhere(round_.problems_of, run_of):
            round_.problems_of, round_.problems = before.problems_of, before.problems
        elif round_.problems_of and not _PROBLEMS.fullmatch(round_.problems_of):
            field = f"rounds[{number}].problems_of"
            searched = _round(round_.problems_of, run_of, field)
            if not searched.problems_key:
                raise InvalidInput(f"{round_.problems_of} has searched nothing", field=field)
            round_.problems_of, round_.problems = searched.problems_key, searched.problems
    return named


def _is_elsewhere(given: str, run_of: Callable[[str], evolution_pb2.Run]) -> bool:
    """Whether this is a round of a run that is not here."""
    name, colon, _ = given.rpartition(":")
    if not colon:
        return False
    try:
        run_of(name)
    except NotFound:
        return True
    return False


def _round(
    given: str, run_of: Callable[[str], evolution_pb2.Run], field: str
) -> evolution_pb2.RoundReport:
    name, _, number = given.rpartition(":")
    if not (number.isascii() and number.isdecimal()) or len(number) > MOST_DIGITS:
        raise InvalidInput(f"expected RUN:ROUND, such as mini:0, not {given!r}", field=field)
    try:
        rounds = run_of(name).rounds
    except NotFound as error:
        raise InvalidInput(f"no run {name}", field=field) from error
    if int(number) >= len(rounds):
        raise InvalidInput(f"run {name} has not begun round {number}", field=field)
    return rounds[int(number)]


def _made(given: str, model: str, run_of: Callable[[str], evolution_pb2.Run], field: str) -> str:
    version: str = getattr(_round(given, run_of, field), f"{model}_version")
    if not version:
        name, _, number = given.rpartition(":")
        raise InvalidInput(f"round {number} of run {name} has made no {model}", field=field)
    return version
