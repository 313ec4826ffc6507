"""A run that begins with another run's trees.

Searches are what a round costs most; training settings are what people change. A branch
keeps the rounds before a given one and that round's searches, and trains anew from there.
The object keys and batches stay the other run's: nothing is copied.
"""

from __future__ import annotations

from rstar.v1 import evolution_pb2
from rstar_common.errors import InvalidInput

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
    if round_ >= len(source.rounds) or source.rounds[round_].phase not in SEARCHED:
        raise InvalidInput(
            f"run {source.run_id} has not searched round {round_}", field="branch.round"
        )
    if list(source.recipe.pools) != list(run.recipe.pools):
        raise InvalidInput(f"run {source.run_id} has other problems", field="pools")
    if source.recipe.seed != run.recipe.seed:
        raise InvalidInput(
            f"run {source.run_id} has seed {source.recipe.seed}; training may have one of its own",
            field="seed",
        )
    for number in range(round_ + 1):
        _check_same(source.recipe.rounds[number], run.recipe.rounds[number], number, round_)
    run.branch.run_id, run.branch.round = source.run_id, round_
    run.ppm_before = source.ppm_before
    for report in source.rounds[:round_]:
        run.rounds.add().CopyFrom(report)
        if report.promoted:
            run.policy_version = report.policy_version or run.policy_version
            run.ppm_version = report.ppm_version or run.ppm_version
    theirs = source.rounds[round_]
    report = run.rounds.add(
        round=round_,
        name=run.recipe.rounds[round_].name,
        phase=evolution_pb2.ROUND_PHASE_TRAINING_POLICY,
        search_policy=theirs.search_policy,
        search_ppm=theirs.search_ppm,
        batch_id=theirs.batch_id,
        problems=theirs.problems,
        problems_key=theirs.problems_key,
        solved=theirs.solved,
        solved_by_label=theirs.solved_by_label,
        dead=theirs.dead,
        search_cost=theirs.search_cost,
        second_batch_id=theirs.second_batch_id,
        second_problems=theirs.second_problems,
        second_solved=theirs.second_solved,
        seconds={phase: theirs.seconds[phase] for phase in SEARCH_PHASES},
    )
    report.phase_began.GetCurrentTime()


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
    if ours.batch_ids:
        raise InvalidInput("a branch has trees", field=f"rounds[{number}].batch_ids")
