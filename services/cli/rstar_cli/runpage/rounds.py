"""Tables of what rounds did: what they searched and solved, what it cost, what came of what."""

from __future__ import annotations

from collections.abc import Mapping

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.runpage.cells import (
    NOT_MEASURED,
    by_difficulty,
    estimated,
    minutes,
    number,
    share,
    title,
)
from rstar_cli.runpage.problem_sets import ProblemLabels
from rstar_cli.runpage.table import Table

SEARCHING = evolution_pb2.ROUND_PHASE_SEARCHING

PHASES = ("searching", "training policy", "training ppm", "evaluating")


def rounds_table(run: evolution_pb2.Run) -> Table:
    """One line a round."""
    return Table(
        "Rounds",
        ("round", "searched by", "problems", "solved", "share", "by a second search", "decision"),
        [
            (
                title(report),
                report.search_policy or "given trees",
                str(report.problems or NOT_MEASURED),
                *(
                    (str(report.solved), share(report.solved, report.problems))
                    if report.problems and report.phase > SEARCHING
                    else (NOT_MEASURED, NOT_MEASURED)
                ),
                f"{report.second_solved} of {report.second_problems}"
                + (f", {report.second_policy}" if report.second_policy else "")
                if report.second_problems
                else NOT_MEASURED,
                report.decision or "under way",
            )
            for report in run.rounds
        ],
        "Solved: at least one rollout of the search gave the reference answer.",
    )


def levels_table(run: evolution_pb2.Run, known: ProblemLabels) -> Table:
    """Share of problems solved by difficulty."""
    levels = by_difficulty(level for report in run.rounds for level in report.solved_by_level)
    return Table(
        "Share of problems solved by difficulty",
        ("round", *levels),
        [
            [title(report), *_solved_by_level(report, levels, known.searched.get(report.round, {}))]
            for report in run.rounds
            if report.solved_by_level
        ],
        "Of those that the round searched, which are not the same in every round, with 95 % "
        "intervals (Wilson).",
    )


def _solved_by_level(
    report: evolution_pb2.RoundReport, levels: list[str], searched: Mapping[str, int]
) -> list[str]:
    shares = report.solved_by_level
    return [
        estimated(round(shares[level] * searched[level]), searched[level])
        if level in shares and searched.get(level)
        else number(shares.get(level))
        for level in levels
    ]


def cost_table(run: evolution_pb2.Run) -> Table:
    """Tokens, programs and minutes."""
    rows = []
    for report in run.rounds:
        evaluated = types_pb2.Cost()
        for one in report.evaluations:
            evaluated.generated_tokens += one.cost.generated_tokens
            evaluated.sandbox_runs += one.cost.sandbox_runs
        rows.append(
            [
                title(report),
                f"{report.search_cost.generated_tokens:,}",
                f"{report.search_cost.sandbox_runs:,}",
                f"{evaluated.generated_tokens:,}",
                f"{evaluated.sandbox_runs:,}",
                *(minutes(report.seconds.get(phase)) for phase in PHASES),
            ]
        )
    return Table(
        "Cost",
        (
            *("round", "search tokens", "search runs", "evaluation tokens", "evaluation runs"),
            *(f"{phase}, min" for phase in PHASES),
        ),
        rows,
        "The bootstrap proposer generates no tokens. Minutes are wall-clock, waiting for other "
        "services included, without the time in which no trainer carried the phase out.",
    )


def lineage_table(run: evolution_pb2.Run) -> Table:
    """Which batches, jobs and versions."""
    return Table(
        "Lineage",
        (
            "round",
            "batches",
            "searched by",
            "PPM",
            "policy job",
            "policy",
            "PPM job",
            "PPM",
        ),
        [
            (
                str(report.round),
                ", ".join(_searched(run, report)) or NOT_MEASURED,
                ", ".join(filter(None, (report.search_policy, report.second_policy)))
                or NOT_MEASURED,
                report.search_ppm or NOT_MEASURED,
                report.policy_job or NOT_MEASURED,
                report.policy_version or _given(run, report, "policy"),
                report.ppm_job or NOT_MEASURED,
                report.ppm_version or _given(run, report, "ppm"),
            )
            for report in run.rounds
        ],
        f"Recipe SHA-256 {run.recipe_digest}.{_branched(run)}",
    )


def _searched(run: evolution_pb2.Run, report: evolution_pb2.RoundReport) -> list[str]:
    """Batches of a round's own searches, or those whose trees it was given."""
    own = [name for name in (report.batch_id, report.second_batch_id) if name]
    return own or list(run.recipe.rounds[report.round].batch_ids)


def _given(run: evolution_pb2.Run, report: evolution_pb2.RoundReport, model: str) -> str:
    """The version a round was given where it trained none."""
    given: str = getattr(run.recipe.rounds[report.round], f"{model}_version")
    return f"{given} (given)" if given else NOT_MEASURED


def _branched(run: evolution_pb2.Run) -> str:
    if not run.HasField("branch"):
        return ""
    return (
        f" What rounds before {run.branch.round} did, and its searches, is run "
        f"{run.branch.run_id}'s."
    )
