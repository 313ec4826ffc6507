"""When two questions are one, and evaluation sets that are trained on because of it.

Said once for the command line, which has the files, and for the trainer, which has what was stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rstar.v1 import evolution_pb2
from rstar_common.errors import InvalidInput

_WORD = re.compile(r"[a-z]+|[0-9]+(?:\.[0-9]+)?|[^\sa-z0-9]")
_PUNCTUATION = frozenset(".,;:?!'\"$\\{}")


def words(question: str) -> tuple[str, ...]:
    """A question as it is compared: lower case, spacing and punctuation gone."""
    return tuple(w for w in _WORD.findall(question.lower()) if w not in _PUNCTUATION)


def check_apart(
    recipe: evolution_pb2.Recipe,
    pools: Mapping[str, Iterable[str]],
    sets: Mapping[str, Iterable[str]],
) -> None:
    """Refuse an evaluation set that lies inside a training pool; questions are given by name.

    Raises:
        InvalidInput: naming the set.
    """
    known = {pool: {words(question) for question in pools[pool]} for pool in pools}
    for index, evaluation_set in enumerate(recipe.evaluation_sets):
        asked = {words(question) for question in sets[evaluation_set.name]}
        for pool, trained in known.items():
            if asked <= trained:
                raise InvalidInput(
                    f"{evaluation_set.name} lies inside the training pool {pool}",
                    field=f"evaluation_sets[{index}].path",
                )
