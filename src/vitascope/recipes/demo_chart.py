"""Lines over steps as SVG, for the demo's page."""

from __future__ import annotations

import math
from collections.abc import Sequence

Points = Sequence[tuple[float, float]]
_CHART = (360, 230)
_MARGIN = (46, 14, 12, 40)  # left, right, top, bottom


def chart(series: Sequence[tuple[str, Points]], y_range: tuple[float, float]) -> str:
    """Lines over steps as SVG, each with its CSS class; the last point of a series is marked."""
    (width, height), (left, right, top, bottom) = _CHART, _MARGIN
    last = max(x for _, points in series for x, _ in points) or 1
    low, high = y_range

    def x_of(x: float) -> float:
        return round(left + (width - left - right) * x / last, 1)

    def y_of(y: float) -> float:
        return round(top + (height - top - bottom) * (1 - (y - low) / ((high - low) or 1)), 1)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img">']
    for tick in _ticks(low, high):
        y = y_of(tick)
        parts.append(f'<line class="rule" x1="{left}" x2="{width - right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4.5}" text-anchor="end">{tick:g}</text>')
    floor = y_of(low)
    parts.append(f'<line class="axis" x1="{left}" x2="{width - right}" y1="{floor}" y2="{floor}"/>')
    ticks = _ticks(0, last)
    parts.extend(f'<text x="{x_of(tick)}" y="{floor + 18}" text-anchor="middle">{tick:g}</text>' for tick in ticks)
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 3}" text-anchor="middle">step</text>')
    for kind, points in series:
        line = " ".join(f"{x_of(x)},{y_of(y)}" for x, y in points)
        parts.append(f'<polyline class="{kind}" points="{line}"/>')
        if kind != "guess":
            parts.append(f'<circle class="{kind}" cx="{x_of(points[-1][0])}" cy="{y_of(points[-1][1])}" r="3.6"/>')
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> list[float]:
    """Four to six round numbers within a range."""
    rough = (high - low) / 4 or 1.0
    unit = 10 ** math.floor(math.log10(rough))
    step = next(f * unit for f in (1, 2, 2.5, 5, 10) if f * unit >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 6) for k in range(first, math.floor(high / step + 1e-9) + 1)]
