"""Tables by module: of a round's evaluations, of one evaluation by round, of the searches.

Figures of different problems never share a column, and it is said how many problems of a module
are behind each: exactly where the problem sets are known, on average otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rstar.v1 import evolution_pb2
from rstar_cli.runpage.cells import NOT_MEASURED, a_module, number, title
from rstar_cli.runpage.measurements import Measurement, measurements, series
from rstar_cli.runpage.problem_sets import ProblemLabels, problems_by_label
from rstar_cli.runpage.table import Table
from rstar_common.recipe_checks import measured_alike

Column = tuple[str, Mapping[str, str]]
"""Its head, and its cells by module."""


def module_tables(run: evolution_pb2.Run, known: ProblemLabels) -> list[Table]:
    """All of them that the run has figures for."""
    labelled = [one for one in measurements(run) if one.made.by_label]
    found = []
    if labelled:
        shown = _shown(run, labelled)
        found.append(_of_round([one for one in labelled if one.round == shown], known))
    if column := compared(run):
        found.append(_by_round(*column, known))
    return [*found, _solved(run)]


def _shown(run: evolution_pb2.Run, labelled: Sequence[Measurement]) -> int:
    """The last round; of arms side by side, the one that measured most problems."""
    if not all(round_.trial for round_ in run.recipe.rounds):
        return labelled[-1].round
    problems = Counter[int]()
    for one in labelled:
        problems[one.round] += one.made.problems
    return max(problems, key=lambda number: (problems[number], number))


def compared(run: evolution_pb2.Run) -> tuple[str, list[Measurement]] | None:
    """The evaluation by which rounds are compared: the one that most of them were asked for.

    Of several, one without search, then one of more problems, then the first.
    """

    def worth(column: Sequence[Measurement]) -> tuple[int, bool, int]:
        asked = sum(
            measured_alike(one, column[0].asked)
            for report in run.rounds
            for one in run.recipe.rounds[report.round].evaluations
        )
        return asked, column[0].is_greedy, column[0].made.problems

    columns = [
        (name, column)
        for name, column in series(run).items()
        if len(column) > 1 and column[0].made.by_label
    ]
    return max(columns, key=lambda column: worth(column[1]), default=None)


def _of_round(measured: Sequence[Measurement], known: ProblemLabels) -> Table:
    same: dict[tuple[str, int], list[Measurement]] = {}
    for one in measured:
        same.setdefault(one.problems, []).append(one)
    groups = list(same.values())
    columns: list[Column] = []
    for group in groups:
        columns += _counts(f"{group[0].problem_set}, n", group[0], known)
        columns += [(one.made.name, _shares(one.made.by_label)) for one in group]
    return _table(
        f"By module: evaluations of round {title(measured[0].report)}",
        columns,
        " ".join(
            f"{group[0].problem_set}: {group[0].made.problems} problems, {_density(group[0])}."
            for group in groups
        ),
    )


def _by_round(name: str, column: Sequence[Measurement], known: ProblemLabels) -> Table:
    first = column[0]
    by_round = [(f"r{title(one.report)}", _shares(one.made.by_label)) for one in column]
    return _table(
        f"By module: {name} by round",
        [*_counts("n", first, known), *by_round],
        f"The same {first.made.problems} problems of {first.problem_set} in every round, "
        f"{_density(first)}.",
    )


def _solved(run: evolution_pb2.Run) -> Table:
    return _table(
        "By module: share of the searched problems solved",
        [
            (
                f"r{title(report)} ({a_module(report.problems, len(report.solved_by_label))})",
                _shares(report.solved_by_label),
            )
            for report in run.rounds
            if report.solved_by_label
        ],
        "Training problems, which are not the same in every round.",
    )


def _density(measured: Measurement) -> str:
    return a_module(measured.made.problems, len(measured.made.by_label))


def _counts(head: str, measured: Measurement, known: ProblemLabels) -> list[Column]:
    """The column of how many problems each module has; none where the set was not read."""
    counts = {label: str(n) for label, n in problems_by_label(measured, known).items()}
    return [(head, counts)] if counts else []


def _shares(by_label: Mapping[str, float]) -> dict[str, str]:
    return {label: number(share) for label, share in by_label.items()}


def _table(name: str, columns: Sequence[Column], note: str) -> Table:
    labels = sorted({label for _, column in columns for label in column if label})
    return Table(
        name,
        ("module", *(head for head, _ in columns)),
        [[label, *(column.get(label, NOT_MEASURED) for _, column in columns)] for label in labels],
        note,
    )
