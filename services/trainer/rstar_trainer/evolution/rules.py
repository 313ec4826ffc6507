"""Rules of a round that need nothing but its records: what it learns from, when its models stay."""

from __future__ import annotations

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.recipe_checks import measured_alike, second_search
from rstar_trainer.promotion import MODELS

SEARCH = "search"
SECOND = "second"
"""What the batches of a round's searches are called."""

SECOND_SEED = 500
"""Added to a round's number in the seed of its second search: other samples."""


def goes_further(recipe: evolution_pb2.Recipe, known: evolution_pb2.Recipe) -> bool:
    """Whether `recipe` is `known` with more rounds after its last."""
    if len(recipe.rounds) <= len(known.rounds):
        return False
    beginning = evolution_pb2.Recipe()
    beginning.CopyFrom(recipe)
    del beginning.rounds[len(known.rounds) :]
    return beginning == known


def learned_batches(run: evolution_pb2.Run, round_: evolution_pb2.Round) -> list[str]:
    """Batches that the policy of the last round learns from, oldest first."""
    if round_.batch_ids:
        return list(round_.batch_ids)
    searched = _searched(run, round_.learn_from_rounds)
    return [name for one in searched for name in (one.batch_id, one.second_batch_id) if name]


def compared_batches(run: evolution_pb2.Run, round_: evolution_pb2.Round) -> list[str]:
    """Batches that the PPM of the last round learns from, oldest first.

    Not those of random programs in a round that a policy searched.
    """
    if round_.batch_ids:
        return list(round_.batch_ids)
    batches = []
    for one in _searched(run, round_.ppm_learn_from_rounds or round_.learn_from_rounds):
        batches.append(one.batch_id)
        if one.second_batch_id and not one.second_policy:
            batches.append(one.second_batch_id)
    return batches


def _searched(run: evolution_pb2.Run, rounds: int) -> list[evolution_pb2.RoundReport]:
    searched = [report for report in run.rounds if report.batch_id]
    return searched[-rounds:]  # -0: all


def evaluation_keys(run: evolution_pb2.Run) -> list[str]:
    """Objects whose questions nobody may be taught."""
    return [one.problems_key for one in run.recipe.evaluation_sets]


def trained_policy(
    run: evolution_pb2.Run, round_: evolution_pb2.Round, report: evolution_pb2.RoundReport
) -> str:
    """The policy whose body a round's PPM starts from: its own, the recipe's, the best."""
    return report.policy_version or round_.policy_version or run.policy_version


def measured_policy(
    run: evolution_pb2.Run, round_: evolution_pb2.Round, report: evolution_pb2.RoundReport
) -> str:
    """The policy that a round is measured with: its own, the recipe's, what searched, the best."""
    own = report.policy_version or round_.policy_version
    return own or report.search_policy or run.policy_version


def measured_ppm(
    run: evolution_pb2.Run, round_: evolution_pb2.Round, report: evolution_pb2.RoundReport
) -> str:
    """The PPM that a round is measured with; empty if there is none."""
    return report.ppm_version or round_.ppm_version or run.ppm_version


def job_name(run: evolution_pb2.Run, report: evolution_pb2.RoundReport, model: str) -> str:
    """The id of a training job: the same after every death, another after a failure."""
    again = f"-{run.attempts}" if run.attempts else ""
    return f"{run.run_id}-r{report.round}-{model}{again}"


def origin(run: evolution_pb2.Run, report: evolution_pb2.RoundReport) -> str:
    """What orders a round's trainings, for the cards of their data."""
    return f"run {run.run_id}, round {report.round}, recipe {run.recipe_digest[:12]}"


def evaluation_name(asked: evolution_pb2.Evaluation) -> str:
    """What the batch of a measurement is called within its round."""
    return f"eval/{asked.name}"


def batch_names(run: evolution_pb2.Run, what: str) -> list[str]:
    """The ids that a batch of the last round may have, one for each time the run was begun.

    One that was cancelled is never searched further: a run that goes on takes the next name.
    """
    name = f"{run.run_id}/r{run.rounds[-1].round}/{what}"
    return [name, *(f"{name}-{again}" for again in range(1, run.attempts + 1))]


def ordered_batches(run: evolution_pb2.Run) -> list[str]:
    """Every batch that the last round of a run may have published."""
    if not run.rounds:
        return []
    asked = run.recipe.rounds[run.rounds[-1].round].evaluations
    kinds = [SEARCH, SECOND, *(evaluation_name(one) for one in asked)]
    return [name for kind in kinds for name in batch_names(run, kind)]


def ordered_jobs(run: evolution_pb2.Run) -> list[str]:
    """Every training job that the last round of a run may have submitted."""
    return [job_name(run, run.rounds[-1], model) for model in MODELS] if run.rounds else []


def seeded(
    settings: types_pb2.SearchSettings, recipe: evolution_pb2.Recipe, number: int
) -> types_pb2.SearchSettings:
    """Settings with the run's seed where they name none; other rounds draw other samples."""
    copy = types_pb2.SearchSettings()
    copy.CopyFrom(settings)
    if not copy.HasField("seed"):
        copy.seed = recipe.seed * 1000 + number
    if recipe.sequential:
        copy.parallel_rollouts = 1
    return copy


def second_settings(
    round_: evolution_pb2.Round, recipe: evolution_pb2.Recipe, number: int
) -> types_pb2.SearchSettings:
    """Settings of the second search: those of `second_search`, and another seed."""
    return seeded(second_search(round_), recipe, SECOND_SEED + number)


def unanswered(problem: types_pb2.Problem) -> types_pb2.Problem:
    """The problem without its reference."""
    copy = types_pb2.Problem()
    copy.CopyFrom(problem)
    copy.ClearField("reference")
    return copy


def failed_gates(
    run: evolution_pb2.Run, round_: evolution_pb2.Round, report: evolution_pb2.RoundReport
) -> list[str]:
    """Why the models of a round are not promoted; empty if they are."""
    made = {one.name: one.accuracy for one in report.evaluations}
    asked = {one.name: one for one in round_.evaluations}
    reasons = []
    for gate in round_.gates:
        accuracy = made[gate.evaluation]
        if accuracy < gate.min_accuracy:
            reasons.append(f"{gate.evaluation}: {accuracy:.3f} is below {gate.min_accuracy:.3f}")
        if gate.HasField("max_drop"):
            before = _before(run, asked[gate.evaluation])
            if before is not None and accuracy < before - gate.max_drop:
                reasons.append(
                    f"{gate.evaluation}: {accuracy:.3f} is below {before - gate.max_drop:.3f}, "
                    f"what it was less {gate.max_drop:.3f}"
                )
    return reasons


def _before(run: evolution_pb2.Run, asked: evolution_pb2.Evaluation) -> float | None:
    """What the latest promoted models that were measured alike had; None if none were."""
    for report in reversed(list(run.rounds)[:-1]):
        alike = [
            one.name
            for one in run.recipe.rounds[report.round].evaluations
            if measured_alike(one, asked)
        ]
        found = [one.accuracy for one in report.evaluations if one.name in alike]
        if report.promoted and found:
            return found[0]
    return None
