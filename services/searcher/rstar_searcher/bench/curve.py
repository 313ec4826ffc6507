"""Lines in a figure, as SVG: a plotting library would be the bench's only dependency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 36, 50
TICKS = 6
"""Steps of an axis, at most."""

_COLOURS = ("#1b6ca8", "#c0392b", "#27864a", "#8e44ad")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line; `colour` is an index, and lines of one colour belong together."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False


def svg(title: str, curves: Sequence[Curve]) -> str:
    """Right answers against simulated seconds."""
    xs = _ticks(max(x for curve in curves for x, _ in curve.points))
    ys = _ticks(max(y for curve in curves for _, y in curve.points))

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + x / xs[-1] * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y / ys[-1] * (HEIGHT - TOP - BOTTOM),
        )

    left, bottom = at(0, 0)
    right, _ = at(xs[-1], 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
    ]
    for tick in ys:
        _, y = at(0, tick)
        parts.append(
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{left - 8:.1f}" y="{y:.1f}" dy="4" text-anchor="end">{tick:g}</text>'
        )
    for tick in xs:
        x, _ = at(tick, 0)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(
        f'<text x="{(left + right) / 2:.1f}" y="{HEIGHT - 12}" text-anchor="middle">'
        "simulated seconds</text>"
    )
    for index, curve in enumerate(curves):
        look = f'stroke="{_COLOURS[curve.colour]}" stroke-width="1.6"'
        look += ' stroke-dasharray="5 3"' if curve.dashed else ""
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in curve.points))
        row = TOP + 10 + 18 * index
        parts.append(
            f'<polyline points="{line}" fill="none" {look}/>'
            f'<line x1="{right + 14:.1f}" x2="{right + 38:.1f}" y1="{row}" y2="{row}" {look}/>'
            f'<text x="{right + 44:.1f}" y="{row + 4}">{escape(curve.name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _ticks(largest: float) -> list[float]:
    """Round numbers from 0 to the first that is not below `largest`, six steps at most."""
    least = max(largest, 1.0) / TICKS
    decade = 10.0 ** math.floor(math.log10(least))
    step = next(step * decade for step in (1, 2, 2.5, 5, 10) if step * decade >= least)
    return [step * i for i in range(math.ceil(largest / step) + 1)]
