"""A recipe made ready: problems read and held against the evaluation sets, rounds planned."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.artifacts import ObjectStore, trees_prefix
from rstar_common.checkpoints import BOOTSTRAP, Model, read_manifest
from rstar_common.errors import InvalidInput, NotFound
from rstar_common.questions import check_apart
from rstar_trainer.dataset import parse_tree
from rstar_trainer.evolution.checks import check_recipe
from rstar_trainer.evolution.contamination import Match, contaminated
from rstar_trainer.evolution.estimate import plan_rounds
from rstar_trainer.evolution.problems import PoolProblem, read_set
from rstar_trainer.evolution.searching import Material
from rstar_trainer.promotion import Registry
from rstar_trainer.tree_store import each_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A recipe that can be carried out, and its problems."""

    material: Material
    plan: list[evolution_pb2.PlannedRound]
    matches: list[evolution_pb2.Contaminated]


async def prepare(
    registry: Registry,
    recipe: evolution_pb2.Recipe,
    branch: evolution_pb2.Branch,
    *,
    policy: str = "",
) -> Prepared:
    """Check a recipe that begins with `policy`, or what is promoted, and read its problems.

    Raises:
        InvalidInput: naming the field at fault.
    """
    store = registry.store
    policy = policy or await registry.promoted_or_none("policy")
    taken_over = branch.round + 1 if branch.run_id else 0
    check_recipe(recipe, has_policy=policy not in ("", BOOTSTRAP), taken_over=taken_over)
    if recipe.candidates_apart and not registry.apart:
        raise InvalidInput(
            "the trainer has no channel for candidates: set RSTAR_TRAINER_CHANNEL, and the same "
            "of a policy and a PPM service that answer nobody else",
            field="candidates_apart",
        )
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
    await asyncio.to_thread(
        check_apart,
        recipe,
        _alike(problems, matches),
        {name: [one.question for one in members] for name, members in sets.items()},
    )
    if recipe.decontamination.refuse and matches:
        first = matches[0]
        raise InvalidInput(
            f"{len(matches)} training problems resemble evaluation problems; the first: "
            f"{first.problem_id} and {first.evaluation_problem_id}",
            field="decontamination.refuse",
        )
    excluded = frozenset(match.problem_id for match in matches)
    _check_left(recipe, problems, excluded)
    searchable = {one.id for one in problems} - excluded
    for number, round_ in enumerate(recipe.rounds):
        await _check_given(store, round_, searchable, f"rounds[{number}]")
    await _check_trees(store, recipe, sets)
    return Prepared(
        material=Material(problems=problems, sets=sets, excluded=excluded),
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


async def _check_given(
    store: ObjectStore, round_: evolution_pb2.Round, searchable: Collection[str], where: str
) -> None:
    """Refuse batches that have left no tree, and problems and versions that are not there.

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
    if round_.problems_of:
        ids = (await store.get(round_.problems_of)).decode().splitlines()
        if missing := sorted(set(ids) - set(searchable)):
            raise InvalidInput(
                f"{len(missing)} of its {len(ids)} problems are in no pool, or resemble evaluation "
                f"problems; the first: {missing[0]}",
                field=f"{where}.problems_of",
            )
    versions: list[tuple[Model, str, str]] = [
        ("policy", round_.policy_version, "policy_version"),
        ("ppm", round_.ppm_version, "ppm_version"),
        ("policy", round_.search_policy, "search_policy"),
        ("ppm", round_.search_ppm, "search_ppm"),
        ("policy", round_.policy.base, "policy.base"),
    ]
    for model, version, name in versions:
        if not version:
            continue
        try:
            manifest = await read_manifest(store, model, version)
        except (InvalidInput, NotFound) as error:
            raise InvalidInput(
                f"no {model} checkpoint {version}", field=f"{where}.{name}"
            ) from error
        if name == "policy.base" and manifest.prompt_format == BOOTSTRAP:
            raise InvalidInput("the bootstrap proposer has no weights", field=f"{where}.{name}")


def _alike(problems: Sequence[PoolProblem], matches: Sequence[Match]) -> dict[str, list[str]]:
    """By pool, the questions that evaluation sets ask too: a set inside it asks no others."""
    alike = {match.problem_id for match in matches if match.how == "text"}
    found: dict[str, list[str]] = defaultdict(list)
    for one in problems:
        if one.id in alike:
            found[one.pool].append(one.problem.question)
    return found


def _check_left(
    recipe: evolution_pb2.Recipe, problems: Sequence[PoolProblem], excluded: Collection[str]
) -> None:
    """Refuse a round whose problems all resemble evaluation problems.

    Raises:
        InvalidInput: naming its pools, or all if nothing is left in any.
    """
    left = Counter(one.pool for one in problems if one.id not in excluded)
    for number, round_ in enumerate(recipe.rounds):
        if not round_.batch_ids and not any(left[name] for name in round_.pools or left):
            raise InvalidInput(
                "every problem resembles an evaluation problem; none is left to search",
                field=f"rounds[{number}].pools" if left else "pools",
            )


async def _check_trees(
    store: ObjectStore,
    recipe: evolution_pb2.Recipe,
    sets: Mapping[str, Sequence[types_pb2.Problem]],
) -> None:
    """Refuse given trees whose questions resemble evaluation questions: they would be learned from.

    Raises:
        InvalidInput: naming the batch.
    """
    read: set[str] = set()
    for number, round_ in enumerate(recipe.rounds):
        for index, batch_id in enumerate(round_.batch_ids):
            if batch_id in read:
                continue
            read.add(batch_id)
            asked = await each_tree(store, batch_id, _asked)
            found = await asyncio.to_thread(
                contaminated, asked, sets, ngram=recipe.decontamination.ngram
            )
            if found:
                raise InvalidInput(
                    f"{len(found)} problems of batch {batch_id} resemble evaluation problems; the "
                    f"first: {found[0].problem_id} and {found[0].evaluation_problem_id}",
                    field=f"rounds[{number}].batch_ids[{index}]",
                )


def _asked(data: bytes) -> PoolProblem:
    """What the tree of a search was asked, whatever pool it came from."""
    tree = parse_tree(data)
    problem = types_pb2.Problem(problem_id=tree.problem_id, question=tree.question)
    return PoolProblem(pool="", problem=problem)
