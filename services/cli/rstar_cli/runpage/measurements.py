"""What was measured: the report of an evaluation, with the round and what it was asked to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.runpage.cells import search_words
from rstar_common.recipe_checks import searched_as


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One evaluation of one round."""

    report: evolution_pb2.RoundReport
    asked: evolution_pb2.Evaluation
    made: evolution_pb2.EvaluationReport

    @property
    def round(self) -> int:
        return self.report.round

    @property
    def problem_set(self) -> str:
        """What its set is called."""
        return self.asked.set or "its set"

    @property
    def problems(self) -> tuple[str, int]:
        """Names the problems it asked: the set, of which as many are always the same ones."""
        return self.asked.set, self.made.problems

    @property
    def kind(self) -> tuple[str, tuple[str, int], bytes]:
        """What measurements that can be compared have in common: name, problems, search."""
        return self.made.name, self.problems, searched_as(self.asked)

    @property
    def is_greedy(self) -> bool:
        """Whether nothing was searched: the policy alone."""
        return self.asked.search.strategy == types_pb2.STRATEGY_GREEDY


def measurements(run: evolution_pb2.Run) -> list[Measurement]:
    """Every evaluation that was made, in order."""
    found = []
    for report in run.rounds:
        asked = {one.name: one for one in run.recipe.rounds[report.round].evaluations}
        for made in report.evaluations:
            # A branch takes over rounds whose evaluations its own recipe need not name.
            what = asked.get(made.name, evolution_pb2.Evaluation(name=made.name))
            found.append(Measurement(report=report, asked=what, made=made))
    return found


def series(run: evolution_pb2.Run) -> dict[str, list[Measurement]]:
    """Measurements of the same problems, searched alike, under the same name, round by round.

    By what their column is called: by the name, and where one name was asked of others, or searched
    otherwise, in another round, by the problems or the search too.
    """
    columns: dict[tuple[str, tuple[str, int], bytes], list[Measurement]] = {}
    for one in measurements(run):
        columns.setdefault(one.kind, []).append(one)
    names = Counter(name for name, *_ in columns)
    asked = Counter((name, problems) for name, problems, _ in columns)
    found = {}
    for (name, problems, _), column in columns.items():
        told = []
        if names[name] > asked[name, problems]:
            told.append(f"{column[0].made.problems} of {column[0].problem_set}")
        if asked[name, problems] > 1:
            told.append(search_words(column[0].asked.search))
        label = f"{name} ({'; '.join(told)})" if told else name
        if label in found:  # otherwise in what these words do not say
            label = f"{label} from round {column[0].round}"
        found[label] = column
    return found
