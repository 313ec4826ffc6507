"""Accuracy against generated tokens, as SVG: one figure does not need a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 60, 240, 20, 50
_COLOURS = ("#1b6ca8", "#c0392b", "#27864a", "#8e44ad", "#b9770e", "#34495e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement."""

    series: str
    tokens: float
    value: float
    low: float
    high: float


def points(arms: Sequence[Mapping[str, Any]]) -> list[Point]:
    """One an arm and rule; arms of one strategy make a line."""
    found = []
    for arm in arms:
        strategy = "sampling" if arm["strategy"] == "best-of-n" else arm["strategy"]
        for rule, share in arm["accuracy"].items():
            found.append(
                Point(
                    series=f"{strategy}, {rule.replace('_', ' ')}",
                    tokens=max(1.0, arm["cost_a_problem"].get("generated_tokens", 0.0)),
                    value=share["value"],
                    low=share["low"],
                    high=share["high"],
                )
            )
    return found


def svg(title: str, measured: Sequence[Point]) -> str:
    """The figure: a logarithmic axis of tokens, bars for the intervals."""
    low, high = _decades([point.tokens for point in measured])

    def x(tokens: float) -> float:
        share = (math.log10(tokens) - low) / (high - low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)

    parts = [*_axes(title, low, high, x, y)]
    series: dict[str, list[Point]] = {}
    for point in measured:
        series.setdefault(point.series, []).append(point)
    for index, (name, members) in enumerate(series.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        dashes = f' stroke-dasharray="{4 * (index // len(_COLOURS))} 3"' * (index >= len(_COLOURS))
        members = sorted(members, key=lambda point: point.tokens)
        path = " ".join(f"{x(point.tokens):.1f},{y(point.value):.1f}" for point in members)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"{dashes}/>')
        for point in members:
            at = f"{x(point.tokens):.1f}"
            parts.append(
                f'<line x1="{at}" x2="{at}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}" '
                f'stroke="{colour}" stroke-opacity="0.45"/>'
                f'<circle cx="{at}" cy="{y(point.value):.1f}" r="3.5" fill="{colour}"/>'
            )
        row = TOP + 16 + 18 * index
        parts.append(
            f'<circle cx="{WIDTH - RIGHT + 16}" cy="{row - 4}" r="4" fill="{colour}"/>'
            f'<text x="{WIDTH - RIGHT + 26}" y="{row}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _axes(title: str, low: int, high: int, x: Any, y: Any) -> list[str]:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tenth in range(0, 11, 2):
        at = f"{y(tenth / 10):.1f}"
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{10 * tenth} %</text>'
        )
    for decade in range(low, high + 1):
        at = f"{x(10.0**decade):.1f}"
        parts.append(
            f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
            f'<text x="{at}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{10**decade:,}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">'
        "generated tokens a problem</text>"
    )
    return parts


def _decades(tokens: Sequence[float]) -> tuple[int, int]:
    low = math.floor(math.log10(min(tokens, default=1.0)))
    high = math.ceil(math.log10(max(tokens, default=10.0)))
    return low, max(high, low + 1)
