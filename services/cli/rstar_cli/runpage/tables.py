"""The tables of a run's report: what was measured, and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.runpage.cells import (
    NOT_MEASURED,
    disowned,
    each,
    measured,
    metric,
    minutes,
    number,
    of_pairs,
    searched_with,
    share,
    spoken,
    title,
    with_count,
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a head."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def tables(run: evolution_pb2.Run) -> list[Table]:
    """Every table of the report that has a row."""
    made = [
        _rounds(run),
        _solved_by_level(run),
        _accuracy(run),
        _accuracy_by_level(run),
        _accuracy_by_rule(run),
        _evaluations(run),
        _ppm(run),
        _data(run),
        _cost(run),
        _modules(run),
        _lineage(run),
    ]
    return [table for table in made if table.rows]


def evaluation_names(run: evolution_pb2.Run) -> list[str]:
    """Names of all evaluations, in the order they first occur."""
    return list(dict.fromkeys(one.name for report in run.rounds for one in report.evaluations))


SEARCHING = evolution_pb2.ROUND_PHASE_SEARCHING


def _rounds(run: evolution_pb2.Run) -> Table:
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


def _solved_by_level(run: evolution_pb2.Run) -> Table:
    levels = sorted({level for report in run.rounds for level in report.solved_by_level})
    return Table(
        "Share of problems solved by difficulty",
        ("round", *levels),
        [
            [title(report), *(number(report.solved_by_level.get(level)) for level in levels)]
            for report in run.rounds
            if report.solved_by_level
        ],
        "Of those that the round searched, which are not the same in every round.",
    )


def _accuracy(run: evolution_pb2.Run) -> Table:
    names = evaluation_names(run)
    rows = []
    for report in run.rounds:
        by_name = {one.name: one for one in report.evaluations}
        rows.append([title(report), *(measured(by_name.get(name)) for name in names)])
    return Table(
        "Accuracy on evaluation sets",
        ("round", *names),
        rows if names else [],
        "Mean over modules, ± half of its 95 % interval. Searched without references, graded "
        "afterwards. The models a round made, promoted or not.",
    )


def _accuracy_by_level(run: evolution_pb2.Run) -> Table:
    measurements = [(report, one) for report in run.rounds for one in report.evaluations]
    levels = sorted({level for _, one in measurements for level in one.by_level})
    return Table(
        "Accuracy by difficulty",
        ("round", "evaluation", *levels),
        [
            [
                title(report),
                one.name,
                *(measured(one.by_level.get(level)) for level in levels),
            ]
            for report, one in measurements
            if one.by_level
        ],
        "Mean over the modules that have problems of the level.",
    )


def _accuracy_by_rule(run: evolution_pb2.Run) -> Table:
    measurements = [(report, one) for report in run.rounds for one in report.evaluations]
    levels = sorted({level for _, one in measurements for level in one.by_level})
    return Table(
        "Accuracy by the rule that chooses the answer",
        ("round", "evaluation", "answer by", "right", "accuracy", *levels),
        [
            [
                title(report),
                one.name,
                spoken(read.rule),
                str(read.all.right),
                measured(read.all),
                *(measured(read.by_level.get(level)) for level in levels),
            ]
            for report, one in measurements
            for read in one.by_rule
        ],
        "The same searches, whichever rule was asked for, read with each. Best PPM: of the "
        "trajectory with the best score. Majority: as many votes as independent samples would "
        "have given. Weighted majority: these votes, each times (1 + PPM score) / 2, among the "
        "`top_k` best-scored trajectories (8 unless asked otherwise).",
    )


def _evaluations(run: evolution_pb2.Run) -> Table:
    return Table(
        "How it was measured",
        (
            *("round", "evaluation", "policy", "PPM", "search"),
            *("modules", "tokens a problem", "runs a problem"),
            *("chose a right answer", "held one", "undecided", "unanswered"),
            *("right before wrong", "of three steps and more"),
        ),
        [
            [
                title(report),
                one.name,
                one.policy_version or NOT_MEASURED,
                one.ppm_version or NOT_MEASURED,
                searched_with(run.recipe.rounds[report.round], one.name),
                str(len(one.by_label)),
                each(one.cost.generated_tokens, one.problems),
                each(one.cost.sandbox_runs, one.problems),
                str(one.right),
                str(one.holding) if one.HasField("holding") else "-",
                str(one.undecided),
                str(one.unanswered),
                of_pairs(one.ranking.ordered_rightly, one.ranking.pairs),
                of_pairs(one.ranking.multi_step_ordered_rightly, one.ranking.multi_step_pairs),
            ]
            for report in run.rounds
            for one in report.evaluations
        ],
        "Policy and PPM: the versions that answered. Modules: of how many the accuracy is the "
        "mean. Problems whose search chose a right answer, and that found one at all: what is "
        "between them was lost by the choice. Right before wrong: of all pairs of a right and a "
        "wrong trajectory of one problem, the share that the PPM orders rightly; the last column "
        "where both have three code steps or more. Pairs of one problem are not independent.",
    )


PPM_METRICS = (
    ("step pairs", "step_pair_accuracy"),
    ("whole trajectories", "final_pair_accuracy"),
    ("all pairs", "pair_accuracy"),
)


def _ppm(run: evolution_pb2.Run) -> Table:
    return Table(
        "PPM: pairs of unseen questions ordered rightly",
        ("round", *(title for title, _ in PPM_METRICS)),
        [
            [
                title(report),
                *(with_count(report.ppm_metrics, name, f"{name}_pairs") for _, name in PPM_METRICS),
            ]
            for report in run.rounds
            if report.ppm_metrics
        ],
        "Share of pairs and their number, on the twentieth of the questions that neither the PPM "
        "nor the policy it starts from has learned.",
    )


def _data(run: evolution_pb2.Run) -> Table:
    names = ("training_examples", "trained_tokens", "held_out_loss")
    return Table(
        "Data",
        (
            "round",
            "right trajectories",
            "disowned",
            "SFT examples",
            "with variants",
            "trained tokens",
            "held-out loss",
            "PPM groups",
            "with their variants",
            "pairs",
        ),
        [
            [
                title(report),
                metric(report.policy_metrics, "right_trajectories"),
                disowned(report.policy_metrics),
                metric(report.policy_metrics, "examples"),
                *(metric(report.policy_metrics, name) for name in names),
                metric(report.ppm_metrics, "groups"),
                metric(report.ppm_metrics, "groups_with_variants"),
                metric(report.ppm_metrics, "pairs"),
            ]
            for report in run.rounds
            if report.policy_metrics or report.ppm_metrics
        ],
        "Disowned: right answers refused because their program fails on other problems of their "
        "kind. It estimates the false positives; no person has read them. Variants have other "
        "names and numbers, those of examples other quotes too; they were not executed.",
    )


def _cost(run: evolution_pb2.Run) -> Table:
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


PHASES = ("searching", "training policy", "training ppm", "evaluating")


def _modules(run: evolution_pb2.Run) -> Table:
    names = evaluation_names(run)
    last = {one.name: one for report in run.rounds for one in report.evaluations}
    labels = sorted({label for one in last.values() for label in one.by_label})
    solved = [report.solved_by_label for report in run.rounds]
    labels = sorted(set(labels) | {label for each in solved for label in each if label})
    return Table(
        "By module",
        ("module", *(f"solved r{report.round}" for report in run.rounds), *names),
        [
            [
                label,
                *(number(each.get(label)) for each in solved),
                *(number(last[name].by_label.get(label)) for name in names),
            ]
            for label in labels
        ],
        "Evaluations: the last round that made them.",
    )


def never_solved(run: evolution_pb2.Run) -> list[str]:
    """Modules of which no round solved a problem."""
    shares: dict[str, float] = {}
    for report in run.rounds:
        for label, solved in report.solved_by_label.items():
            shares[label] = max(shares.get(label, 0.0), solved)
    return sorted(label for label, most in shares.items() if label and most == 0.0)


def without_right_answer(run: evolution_pb2.Run) -> dict[str, tuple[int, list[str]]]:
    """Of the last evaluation of each name: its problems, and its modules without a right answer."""
    last = {one.name: one for report in run.rounds for one in report.evaluations}
    return {
        name: (one.problems, sorted(key for key, share in one.by_label.items() if share == 0.0))
        for name, one in last.items()
    }


def unreached(run: evolution_pb2.Run) -> list[str]:
    """Modules of which random programs solved no problem in the rounds that were theirs alone."""
    shares: dict[str, float] = {}
    for report in run.rounds:
        if run.recipe.rounds[report.round].bootstrap:
            for label, solved in report.solved_by_label.items():
                shares[label] = max(shares.get(label, 0.0), solved)
    return sorted(label for label, most in shares.items() if most == 0.0)


def _lineage(run: evolution_pb2.Run) -> Table:
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
