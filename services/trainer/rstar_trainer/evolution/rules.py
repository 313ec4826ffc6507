"""Rules of a round that need nothing but its records: what it learns from, when its models stay."""

from __future__ import annotations

from rstar.v1 import evolution_pb2, types_pb2
from rstar_trainer.promotion import MODELS


def learned_batches(run: evolution_pb2.Run, round_: evolution_pb2.Round) -> list[str]:
    """Batches that the last round of the run learns from, oldest first."""
    batches = [report.batch_id for report in run.rounds]
    return batches[-round_.learn_from_rounds :] if round_.learn_from_rounds else batches


def job_name(run: evolution_pb2.Run, report: evolution_pb2.RoundReport, model: str) -> str:
    """The id of a training job: the same after every death, another after a failure."""
    again = f"-{run.attempts}" if run.attempts else ""
    return f"{run.run_id}-r{report.round}-{model}{again}"


def evaluation_batch(
    run: evolution_pb2.Run, report: evolution_pb2.RoundReport, asked: evolution_pb2.Evaluation
) -> str:
    """The id of the batch that measures a round."""
    return f"{run.run_id}/r{report.round}/eval/{asked.name}"


def ordered_batches(run: evolution_pb2.Run) -> list[str]:
    """Every batch that the last round of a run may have published."""
    if not run.rounds:
        return []
    report = run.rounds[-1]
    asked = run.recipe.rounds[report.round].evaluations
    return [report.batch_id, *(evaluation_batch(run, report, one) for one in asked)]


def ordered_jobs(run: evolution_pb2.Run) -> list[str]:
    """Every training job that the last round of a run may have submitted."""
    return [job_name(run, run.rounds[-1], model) for model in MODELS] if run.rounds else []


def seeded(settings: types_pb2.SearchSettings, seed: int, number: int) -> types_pb2.SearchSettings:
    """Settings with the run's seed where they name none; other rounds draw other samples."""
    copy = types_pb2.SearchSettings()
    copy.CopyFrom(settings)
    if not copy.HasField("seed"):
        copy.seed = seed * 1000 + number
    return copy


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
    earlier = [one for one in list(run.rounds)[:-1] if one.promoted]
    before = {one.name: one.accuracy for one in earlier[-1].evaluations} if earlier else {}
    reasons = []
    for gate in round_.gates:
        accuracy = made[gate.evaluation]
        if accuracy < gate.min_accuracy:
            reasons.append(f"{gate.evaluation}: {accuracy:.3f} is below {gate.min_accuracy:.3f}")
        if gate.HasField("max_drop") and gate.evaluation in before:
            least = before[gate.evaluation] - gate.max_drop
            if accuracy < least:
                reasons.append(
                    f"{gate.evaluation}: {accuracy:.3f} is below {least:.3f}, what it was less "
                    f"{gate.max_drop:.3f}"
                )
    return reasons
