"""A recipe made ready: problems read and held against the evaluation sets, rounds planned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2
from rstar_common.artifacts import ObjectStore, trees_prefix
from rstar_common.checkpoints import BOOTSTRAP, Model, read_manifest
from rstar_common.errors import InvalidInput, NotFound
from rstar_trainer.evolution.checks import check_recipe
from rstar_trainer.evolution.contamination import Match, contaminated
from rstar_trainer.evolution.estimate import plan_rounds
from rstar_trainer.evolution.problems import PoolProblem, read_set
from rstar_trainer.evolution.searching import Material


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A recipe that can be carried out, and its problems."""

    material: Material
    plan: list[evolution_pb2.PlannedRound]
    matches: list[evolution_pb2.Contaminated]


async def prepare(
    store: ObjectStore, recipe: evolution_pb2.Recipe, *, policy: str, apart: bool, processes: int
) -> Prepared:
    """Check a recipe and read its problems.

    `policy` is the version the run begins with; `apart` says whether candidates have a channel of
    their own; `processes` train a model together.

    Raises:
        InvalidInput: naming the field at fault.
    """
    check_recipe(recipe, has_policy=policy not in ("", BOOTSTRAP), processes=processes)
    if recipe.candidates_apart and not apart:
        raise InvalidInput(
            "the trainer has no channel for candidates: set RSTAR_TRAINER_CHANNEL, and the same "
            "of a policy and a PPM service that answer nobody else",
            field="candidates_apart",
        )
    for number, round_ in enumerate(recipe.rounds):
        await _check_given(store, round_, f"rounds[{number}]")
    problems: list[PoolProblem] = []
    pool_sizes: dict[str, int] = {}
    for index, pool in enumerate(recipe.pools):
        members = await read_set(store, pool.problems_key, where=f"pools[{index}]")
        pool_sizes[pool.name] = len(members)
        problems += [
            PoolProblem(pool=pool.name, problem=one, synthetic=pool.synthetic) for one in members
        ]
    ids = [one.id for one in problems]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InvalidInput(f"{twice} is in two pools", field="pools")
    sets = {
        one.name: await read_set(store, one.problems_key, where=f"evaluation_sets[{index}]")
        for index, one in enumerate(recipe.evaluation_sets)
    }
    matches = await asyncio.to_thread(
        contaminated, problems, sets, ngram=recipe.decontamination.ngram
    )
    _check_overlap(recipe, pool_sizes, matches)
    if recipe.decontamination.refuse and matches:
        first = matches[0]
        raise InvalidInput(
            f"{len(matches)} training problems resemble evaluation problems; the first: "
            f"{first.problem_id} and {first.evaluation_problem_id}",
            field="decontamination.refuse",
        )
    return Prepared(
        material=Material(
            problems=problems, sets=sets, excluded=frozenset(m.problem_id for m in matches)
        ),
        plan=plan_rounds(recipe, pool_sizes, {name: len(each) for name, each in sets.items()}),
        matches=[
            evolution_pb2.Contaminated(
                pool=match.pool,
                problem_id=match.problem_id,
                evaluation_set=match.evaluation_set,
                evaluation_problem_id=match.evaluation_problem_id,
                how=match.how,
            )
            for match in matches
        ],
    )


async def _check_given(store: ObjectStore, round_: evolution_pb2.Round, where: str) -> None:
    """Refuse batches that have left no tree, and versions that are not in the store.

    Raises:
        InvalidInput: naming the field.
    """
    for index, batch_id in enumerate(round_.batch_ids):
        async for _ in store.keys(trees_prefix(batch_id)):
            break
        else:
            raise InvalidInput(
                f"batch {batch_id} has no trees", field=f"{where}.batch_ids[{index}]"
            )
    versions: list[tuple[Model, str]] = [
        ("policy", round_.policy_version),
        ("ppm", round_.ppm_version),
    ]
    for model, version in versions:
        try:
            if version:
                await read_manifest(store, model, version)
        except NotFound as error:
            raise InvalidInput(
                f"no {model} checkpoint {version}", field=f"{where}.{model}_version"
            ) from error


def _check_overlap(
    recipe: evolution_pb2.Recipe,
    pool_sizes: Mapping[str, int],
    matches: Sequence[Match],
) -> None:
    """Refuse an evaluation set that lies inside a training pool.

    Raises:
        InvalidInput: naming the set.
    """
    keys = {pool.problems_key: pool.name for pool in recipe.pools}
    for index, one in enumerate(recipe.evaluation_sets):
        inside = keys.get(one.problems_key)
        same = [match for match in matches if match.evaluation_set == one.name]
        covered = {match.evaluation_problem_id for match in same if match.how == "text"}
        if inside is None and covered:
            largest = max(pool_sizes.values())
            inside = None if len(same) < largest else same[0].pool
        if inside is not None:
            raise InvalidInput(
                f"{one.name} lies inside the training pool {inside}",
                field=f"evaluation_sets[{index}].path",
            )
