"""What stands in the cells of a report's tables."""

from __future__ import annotations

from collections.abc import Mapping

from rstar.v1 import evolution_pb2

NOT_MEASURED = "-"


def title(report: evolution_pb2.RoundReport) -> str:
    """What a round is called: its number, and its name if it has one."""
    return f"{report.round} {report.name}".rstrip()


def measured(one: evolution_pb2.EvaluationReport | None) -> str:
    """An accuracy, how sure it is, and of how many problems."""
    if one is None:
        return NOT_MEASURED
    return f"{one.accuracy:.3f} ± {one.half_interval:.3f} (n = {one.problems})"


def share(part: int, whole: int) -> str:
    """A share in percent."""
    return f"{part / whole:.1%}" if whole else NOT_MEASURED


def with_count(metrics: Mapping[str, float], name: str, count: str) -> str:
    """A metric and the number it is of."""
    if name not in metrics:
        return NOT_MEASURED
    return f"{metrics[name]:.3f} (n = {metrics.get(count, 0):.0f})"


def metric(metrics: Mapping[str, float], name: str) -> str:
    """A metric."""
    value = metrics.get(name)
    return NOT_MEASURED if value is None else f"{value:.4g}"


def number(value: float | None) -> str:
    """A share with two digits."""
    return NOT_MEASURED if value is None else f"{value:.2f}"


def minutes(seconds: float | None) -> str:
    """Seconds as minutes."""
    return NOT_MEASURED if seconds is None else f"{seconds / 60:.1f}"
