"""A run that begins with another run's trees.

Searches are what a round costs most; training settings are what people change. A branch
keeps the rounds before a given one and that round's searches, and trains anew from there.
The object keys and batches stay the other run's: nothing is copied. Its pools may be cut
otherwise, as long as they hold what was searched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.artifacts import ObjectStore, trees_prefix
from rstar_common.checkpoints import Model, read_manifest
from rstar_common.errors import InvalidInput, NotFound
from rstar_trainer.evolution.problems import read_set

SEARCHED = frozenset(
    {
        evolution_pb2.ROUND_PHASE_TRAINING_POLICY,
        evolution_pb2.ROUND_PHASE_TRAINING_PPM,
        evolution_pb2.ROUND_PHASE_EVALUATING,
        evolution_pb2.ROUND_PHASE_DECIDING,
        evolution_pb2.ROUND_PHASE_DONE,
    }
)

SEARCHES = (
    "bootstrap",
    "problems",
    "pools",
    "search",
    "max_unsolved_share",
    "too_easy_share",
    "prefer_new",
    "second_search",
    "second_bootstrap",
    "search_policy",
    "search_ppm",
    "problems_of",
)
"""What decides the searches of a round."""

SEARCH_PHASES = ("preparing", "searching")


def begin_branch(run: evolution_pb2.Run, source: evolution_pb2.Run, round_: int) -> None:
    """Give `run` what `source` had when round `round_` began to train.

    Raises:
        InvalidInput: `source` is not so far, or did other things than the recipe asks for.
    """
    if round_ >= len(run.recipe.rounds):
        raise InvalidInput(f"the recipe has no round {round_}", field="branch.round")
    if source.run_id == run.run_id:
        raise InvalidInput("is the run itself", field="branch.run_id")
    if round_ >= len(source.rounds) or source.rounds[round_].phase not in SEARCHED:
        raise InvalidInput(
            f"run {source.run_id} has not searched round {round_}", field="branch.round"
        )
    if source.recipe.seed != run.recipe.seed:
        raise InvalidInput(
            f"run {source.run_id} has seed {source.recipe.seed}; training may have one of its own",
            field="seed",
        )
    sets = [(one.name, one.problems_key) for one in run.recipe.evaluation_sets]
    if round_ and sets != [(one.name, one.problems_key) for one in source.recipe.evaluation_sets]:
        raise InvalidInput(
            f"differ from those of run {source.run_id}, whose figures are taken over",
            field="evaluation_sets",
        )
    for number in range(round_ + 1):
        _check_same(source.recipe.rounds[number], run.recipe.rounds[number], number, round_)
    run.branch.run_id, run.branch.round = source.run_id, round_
    for report in source.rounds[:round_]:
        run.rounds.add().CopyFrom(report)
        if report.promoted:
            run.policy_version = report.policy_version or run.policy_version
            run.ppm_version = report.ppm_version or run.ppm_version
    theirs = source.rounds[round_]
    report = run.rounds.add(
        round=round_,
        name=run.recipe.rounds[round_].name,
        phase=evolution_pb2.ROUND_PHASE_SEARCHING,  # which only counts what was found
        search_policy=theirs.search_policy,
        search_ppm=theirs.search_ppm,
        batch_id=theirs.batch_id,
        problems=theirs.problems,
        problems_key=theirs.problems_key,
        dead=theirs.dead,
        search_cost=theirs.search_cost,
        second_batch_id=theirs.second_batch_id,
        second_policy=theirs.second_policy,
        second_problems=theirs.second_problems,
        second_solved=theirs.second_solved,
        seconds={phase: theirs.seconds[phase] for phase in SEARCH_PHASES},
    )


def still_planned(
    plan: Sequence[evolution_pb2.PlannedRound], run: evolution_pb2.Run
) -> list[evolution_pb2.PlannedRound]:
    """What is left to do of a plan: a branch has searched already, a run that goes on did more.

    Phase by phase: one that is under way counts as a whole.
    """
    phases = evolution_pb2.RoundPhase
    left = []
    for planned in plan:
        begun = planned.round < len(run.rounds)
        phase = run.rounds[planned.round].phase if begun else phases.ROUND_PHASE_UNSPECIFIED
        if phase == phases.ROUND_PHASE_DONE:
            continue
        copy = evolution_pb2.PlannedRound()
        copy.CopyFrom(planned)
        taken_over = run.HasField("branch") and run.branch.round == planned.round
        if taken_over or phase > phases.ROUND_PHASE_SEARCHING:
            for field in ("problems", "rollouts", "sandbox_runs", "search_tokens"):
                copy.ClearField(field)
            copy.ClearField("search_seconds")
            copy.ClearField("each_search_seconds")
        if phase > phases.ROUND_PHASE_TRAINING_PPM:
            copy.ClearField("training_seconds")
            copy.ClearField("training_tokens")
        if phase > phases.ROUND_PHASE_EVALUATING:
            copy.ClearField("evaluation_problems")
            copy.ClearField("evaluation_sandbox_runs")
            copy.ClearField("evaluation_seconds")
            copy.ClearField("evaluation_tokens")
            copy.ClearField("each_evaluation_seconds")
        left.append(copy)
    return left


async def check_taken(
    store: ObjectStore,
    run: evolution_pb2.Run,
    source: evolution_pb2.Run,
    problems: Mapping[str, types_pb2.Problem],
    excluded: Collection[str],
) -> None:
    """Refuse a branch whose trees are gone, or are not of the recipe's problems.

    `problems` are those of the recipe's pools by id; those `excluded` resemble an evaluation
    problem and may not be learned from.

    Raises:
        InvalidInput: naming the field.
    """
    theirs: dict[str, types_pb2.Problem] = {}
    for pool in source.recipe.pools:
        members = await read_set(store, pool.problems_key, where="branch.run_id")
        theirs |= {one.problem_id: one for one in members}
    for report in run.rounds:
        if not report.problems_key:  # it searched nothing: its trees were given
            continue
        for name in (await store.get(report.problems_key)).decode().splitlines():
            ours = problems.get(name)
            if ours is None or _asked(ours) != _asked(theirs[name]):
                raise InvalidInput(f"{name}, which was searched, is not in them", field="pools")
            if name in excluded:
                raise InvalidInput(
                    f"{name}, which was searched, resembles an evaluation problem",
                    field="evaluation_sets",
                )
        for batch_id in (report.batch_id, report.second_batch_id):
            if batch_id and not await _has_trees(store, batch_id):
                raise InvalidInput(f"the trees of {batch_id} are gone", field="branch.run_id")
        versions: list[tuple[Model, str]] = [
            ("policy", report.policy_version),
            ("ppm", report.ppm_version),
        ]
        for model, version in versions:
            try:
                if version:
                    await read_manifest(store, model, version)
            except NotFound as error:
                raise InvalidInput(f"{version} is gone", field="branch.run_id") from error


def _asked(problem: types_pb2.Problem) -> tuple[str, str]:
    return problem.question, problem.reference


async def _has_trees(store: ObjectStore, batch_id: str) -> bool:
    async for _ in store.keys(trees_prefix(batch_id)):
        return True
    return False


def _check_same(
    theirs: evolution_pb2.Round, ours: evolution_pb2.Round, number: int, last: int
) -> None:
    """Rounds before the last are taken whole, of the last its searches."""
    if number < last:
        if theirs != ours:
            raise InvalidInput("differs from what is taken over", field=f"rounds[{number}]")
        return
    for name in SEARCHES:
        if getattr(theirs, name) != getattr(ours, name):
            raise InvalidInput("differs from what was searched", field=f"rounds[{number}].{name}")
    if ours.batch_ids or theirs.batch_ids:
        raise InvalidInput(
            "searches nothing; branch at another round", field=f"rounds[{number}].batch_ids"
        )
