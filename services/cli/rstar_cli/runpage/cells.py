"""What stands in the cells of a report's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rstar.v1 import evolution_pb2, types_pb2
from rstar_cli.evaluation.estimators import wilson
from rstar_cli.grading import rule_name

NOT_MEASURED = "-"

DEPENDENT = "¹"
"""Marks columns whose intervals take pairs of one problem for independent."""

DEPENDENT_NOTE = (
    f"{DEPENDENT} Wilson's interval, as if pairs were independent. Pairs of one problem depend on "
    "each other: the true interval is wider."
)

_LEVELS = ("easy", "medium", "hard")


def by_difficulty(levels: Iterable[str]) -> list[str]:
    """Levels from easy to hard, then others by name, each once."""
    every = set(levels)
    return [*(one for one in _LEVELS if one in every), *sorted(every.difference(_LEVELS))]


def title(report: evolution_pb2.RoundReport) -> str:
    """What a round is called: its number, and its name if it has one."""
    return f"{report.round} {report.name}".rstrip()


def contaminated_kinds(run: evolution_pb2.Run) -> Counter[tuple[str, str, str]]:
    """Problems that resemble one of an evaluation set, by pool, set and how."""
    found: Counter[tuple[str, str, str]] = Counter()
    for one in run.contaminated_counts:
        found[one.pool, one.evaluation_set, one.how] = one.count
    if not found:  # a release ago all were named
        found.update((one.pool, one.evaluation_set, one.how) for one in run.contaminated)
    return found


def measured(one: evolution_pb2.EvaluationReport | evolution_pb2.LevelReport | None) -> str:
    """An accuracy, how sure it is, and of how many problems."""
    if one is None:
        return NOT_MEASURED
    return f"{one.accuracy:.3f} ± {one.half_interval:.3f} (n = {one.problems})"


def searched_with(round_: evolution_pb2.Round, name: str) -> str:
    """The settings of an evaluation in a few words: `mcts, 8 rollouts, by majority`."""
    asked = next((one.search for one in round_.evaluations if one.name == name), None)
    return NOT_MEASURED if asked is None else search_words(asked)


def search_words(asked: types_pb2.SearchSettings) -> str:
    """Settings of a search in a few words: `mcts, 8 rollouts, by majority`."""
    strategy = types_pb2.Strategy.Name(asked.strategy).removeprefix("STRATEGY_").lower()
    words = [strategy.replace("_", " ")]
    if asked.strategy != types_pb2.STRATEGY_GREEDY:
        if asked.trees > 1:
            words.append(f"{asked.trees} trees")
        if asked.rollouts:
            words.append(f"{asked.rollouts} rollouts")
        if asked.candidates:
            words[-1] += f" of {asked.candidates} candidates"
        if asked.answer_selection:
            words.append(f"by {spoken(asked.answer_selection)}")
        if asked.HasField("temperature"):
            words.append(f"temperature {asked.temperature:.3g}")
    return ", ".join(words)


def spoken(rule: types_pb2.AnswerSelection.ValueType) -> str:
    """A rule of choosing the answer: `weighted majority`."""
    return rule_name(rule).replace("_", " ")


def each(total: int, count: int) -> str:
    """How much of a total falls to each."""
    return f"{total / count:,.0f}" if count else NOT_MEASURED


def a_module(problems: int, modules: int) -> str:
    """How many problems a module has on average: `5.07 a module`."""
    return f"{problems / modules:.3g} a module"


def estimated(part: int, whole: int) -> str:
    """A share, its 95 % interval (Wilson), and of how many."""
    if not whole:
        return NOT_MEASURED
    found = wilson(part, whole)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}, n = {whole})"


def disowned(metrics: Mapping[str, float]) -> str:
    """How many right trajectories were refused, and their share."""
    found = metrics.get("disowned_trajectories")
    if found is None:
        return NOT_MEASURED
    right = metrics.get("right_trajectories")
    return f"{found:,.0f} ({found / right:.1%})" if right else f"{found:,.0f}"


def share(part: int, whole: int) -> str:
    """A share in percent."""
    return f"{part / whole:.1%}" if whole else NOT_MEASURED


def metric(metrics: Mapping[str, float], name: str) -> str:
    """A metric: a count in full, anything else with four digits."""
    value = metrics.get(name)
    if value is None:
        return NOT_MEASURED
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"


def number(value: float | None) -> str:
    """A share with two digits."""
    return NOT_MEASURED if value is None else f"{value:.2f}"


def minutes(seconds: float | None) -> str:
    """Seconds as minutes."""
    return NOT_MEASURED if seconds is None else f"{seconds / 60:.1f}"
