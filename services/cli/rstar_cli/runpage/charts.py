"""Line charts as SVG text: no script, no library, readable in a browser and in a repository."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 150, 28, 36
COLOURS = (
    *("#1f6feb", "#d1570a", "#2da44e", "#8250df", "#bf3989", "#57606a"),
    *("#0b7285", "#9a6700", "#cf222e", "#4c2889"),
)
DASHED = "5 3"
"""How lines are told apart that have to share a colour."""

Point = tuple[float, float]


def line_chart(
    title: str,
    series: Mapping[str, Sequence[Point]],
    *,
    x_label: str,
    share: bool = False,
    log_y: bool = False,
) -> str:
    """A chart of named lines; `share` fixes the vertical axis to 0 … 1."""
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    xs = [x for x, _ in points]
    ys = [_scaled(y, log_y) for _, y in points]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = (0.0, 1.0) if share else (min(ys), max(max(ys), min(ys) + 1e-9))

    def place(x: float, y: float) -> Point:
        across = (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        up = (_scaled(y, log_y) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return LEFT + across, HEIGHT - BOTTOM - up

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    for tick in range(5):
        scaled = y_low + (y_high - y_low) * tick / 4
        value = 10**scaled if log_y else scaled
        _, at = place(x_low, value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#d0d7de"/>'
            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    for x in _ticks(sorted(set(xs))):
        at, _ = place(x, ys[0] if not log_y else 10 ** ys[0])
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{_number(x)}</text>"
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        placed = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        dashes = f' stroke-dasharray="{DASHED}"' if number >= len(COLOURS) else ""
        stroke = f'stroke="{colour}" stroke-width="2"{dashes}'
        parts.append(f'<polyline points="{path}" fill="none" {stroke}/>')
        if len(placed) <= MOST_DOTS:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed
            ]
        key = WIDTH - RIGHT + 12
        at_y = TOP + 14 * number + 8
        parts.append(
            f'<rect x="{key}" y="{at_y - 8}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{key + 15}" y="{at_y + 1}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


MOST_DOTS = 12


def _scaled(value: float, log: bool) -> float:
    return math.log10(max(value, 1e-9)) if log else value


def _ticks(values: Sequence[float]) -> list[float]:
    if len(values) <= MOST_DOTS:
        return list(values)
    return [values[index * (len(values) - 1) // 5] for index in range(6)]


def _number(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:.3g}"
