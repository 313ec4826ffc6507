"""Models named by where they come from: `mini:2` is what round 2 of run `mini` made."""

from __future__ import annotations

from collections.abc import Callable

from rstar.v1 import evolution_pb2
from rstar_common.errors import InvalidInput, NotFound
from rstar_trainer.promotion import MODELS

MOST_DIGITS = 4
"""Of a round's number."""


def name_versions(
    recipe: evolution_pb2.Recipe, run_of: Callable[[str], evolution_pb2.Run]
) -> evolution_pb2.Recipe:
    """The recipe with versions in place of `RUN:ROUND` in `policy_version` and `ppm_version`.

    Raises:
        InvalidInput: there is no such run, or its round made no such model; names the field.
    """
    named = evolution_pb2.Recipe()
    named.CopyFrom(recipe)
    for number, round_ in enumerate(named.rounds):
        for model in MODELS:
            field = f"{model}_version"
            given = getattr(round_, field)
            if ":" in given:
                version = _made(given, model, run_of, f"rounds[{number}].{field}")
                setattr(round_, field, version)
    return named


def _made(given: str, model: str, run_of: Callable[[str], evolution_pb2.Run], field: str) -> str:
    name, _, number = given.rpartition(":")
    if not (number.isascii() and number.isdecimal()) or len(number) > MOST_DIGITS:
        raise InvalidInput(f"expected RUN:ROUND, such as mini:0, not {given!r}", field=field)
    try:
        rounds = run_of(name).rounds
    except NotFound as error:
        raise InvalidInput(f"no run {name}", field=field) from error
    if int(number) >= len(rounds):
        raise InvalidInput(f"run {name} has not begun round {number}", field=field)
    version: str = getattr(rounds[int(number)], f"{model}_version")
    if not version:
        raise InvalidInput(f"round {number} of run {name} has made no {model}", field=field)
    return version
