"""Tables of what was measured on evaluation sets, and of how."""

from __future__ import annotations

from collections.abc import Sequence

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.runpage.cells import (
    DEPENDENT,
    NOT_MEASURED,
    by_difficulty,
    each,
    estimated,
    measured,
    searched_with,
    spoken,
    title,
)
from rstar_cli.runpage.measurements import Measurement, measurements, series
from rstar_cli.runpage.table import Table

BASE_ROLLOUTS = 8
"""Of the tree search whose tokens the others are compared with."""


def evaluation_tables(run: evolution_pb2.Run) -> list[Table]:
    """All of them, also those without a row."""
    return [
        _accuracy(run),
        _accuracy_by_level(run),
        _accuracy_by_rule(run),
        _how(run),
    ]


def _accuracy(run: evolution_pb2.Run) -> Table:
    columns = series(run)
    rows = []
    for report in run.rounds:
        made = (
            next((one.made for one in column if one.round == report.round), None)
            for column in columns.values()
        )
        rows.append([title(report), *map(measured, made)])
    return Table(
        "Accuracy on evaluation sets",
        ("round", *columns),
        rows if columns else [],
        "Mean over modules, ± half of its 95 % interval. Searched without references, graded "
        "afterwards. The models a round made, promoted or not.",
    )


def _accuracy_by_level(run: evolution_pb2.Run) -> Table:
    found = measurements(run)
    levels = by_difficulty(level for one in found for level in one.made.by_level)
    return Table(
        "Accuracy by difficulty",
        ("round", "evaluation", *levels),
        [
            [
                title(one.report),
                one.made.name,
                *(measured(one.made.by_level.get(level)) for level in levels),
            ]
            for one in found
            if one.made.by_level
        ],
        "Mean over the modules that have problems of the level.",
    )


def _accuracy_by_rule(run: evolution_pb2.Run) -> Table:
    found = measurements(run)
    levels = by_difficulty(level for one in found for level in one.made.by_level)
    return Table(
        "Accuracy by the rule that chooses the answer",
        ("round", "evaluation", "answer by", "right", "accuracy", *levels),
        [
            [
                title(one.report),
                one.made.name,
                spoken(read.rule),
                str(read.all.right),
                measured(read.all),
                *(measured(read.by_level.get(level)) for level in levels),
            ]
            for one in found
            for read in one.made.by_rule
        ],
        "The same searches, whichever rule was asked for, read with each. Best PPM: of the "
        "trajectory with the best score. Majority: as many votes as independent samples would "
        "have given. Weighted majority: these votes, each times (1 + PPM score) / 2, among the "
        "`top_k` best-scored trajectories (8 unless asked otherwise).",
    )


def _how(run: evolution_pb2.Run) -> Table:
    found = measurements(run)
    return Table(
        "How it was measured",
        (
            *("round", "evaluation", "policy", "PPM", "search"),
            *("modules", "tokens a problem", f"of search{BASE_ROLLOUTS}", "runs a problem"),
            *("chose a right answer", "held one", "undecided", "unanswered"),
            *(f"right before wrong {DEPENDENT}", f"of three steps and more {DEPENDENT}"),
        ),
        [_how_row(run, one, found) for one in found],
        "Policy and PPM: the versions that answered. Modules: of how many the accuracy is the "
        f"mean. Of search{BASE_ROLLOUTS}: these tokens, divided by those of the round's tree "
        f"search of {BASE_ROLLOUTS} rollouts over the same problems. Problems whose search chose "
        "a right answer, and that found one at all: what is between them was lost by the choice. "
        "Right before wrong: of all pairs of a right and a wrong trajectory of one problem, the "
        "share that the PPM orders rightly, and its 95 % interval; the last column where both "
        "have three code steps or more.",
    )


def _how_row(
    run: evolution_pb2.Run, one: Measurement, found: Sequence[Measurement]
) -> Sequence[str]:
    made, pairs = one.made, one.made.ranking
    return [
        title(one.report),
        made.name,
        made.policy_version or NOT_MEASURED,
        made.ppm_version or NOT_MEASURED,
        searched_with(run.recipe.rounds[one.round], made.name),
        str(len(made.by_label)),
        each(made.cost.generated_tokens, made.problems),
        _of_search(one, found),
        each(made.cost.sandbox_runs, made.problems),
        str(made.right),
        str(made.holding) if made.HasField("holding") else NOT_MEASURED,
        str(made.undecided),
        str(made.unanswered),
        estimated(pairs.ordered_rightly, pairs.pairs),
        estimated(pairs.multi_step_ordered_rightly, pairs.multi_step_pairs),
    ]


def _of_search(one: Measurement, found: Sequence[Measurement]) -> str:
    base = next((other for other in found if _is_base_of(other, one)), None)
    if base is None or not base.made.cost.generated_tokens:
        return NOT_MEASURED
    return f"{one.made.cost.generated_tokens / base.made.cost.generated_tokens:.2f}"


def _is_base_of(other: Measurement, one: Measurement) -> bool:
    search = other.asked.search
    return (
        other.round == one.round
        and other.problems == one.problems
        and search.strategy == types_pb2.STRATEGY_MCTS
        and search.rollouts == BASE_ROLLOUTS
        and search.trees <= 1
    )
