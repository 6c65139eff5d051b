"""Pictures of what to expect: accuracy of more images, and of the surest answers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vitascope.views.drawing import FIRST, SECOND, figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def forecast_figure(now: Mapping[str, Any] | None, forecast: Sequence[Mapping[str, Any]]) -> Figure:
    """Right answers (%) over the number of images, as foretold and, of so many as there are `now`, as found; each has
    "images", "top1", "interval"."""
    drawing = figure(5.4, 3.0)
    axes = drawing.subplots()
    rows, first = [*([now] if now else []), *forecast], int(now is not None)
    places = range(len(rows))
    middle = [100 * row["top1"] for row in rows]
    below = [max(m - 100 * row["interval"][0], 0) for m, row in zip(middle, rows, strict=True)]
    above = [max(100 * row["interval"][1] - m, 0) for m, row in zip(middle, rows, strict=True)]
    axes.plot(places, middle, color=FIRST, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)
    bars: dict[str, Any] = {"fmt": "o", "capsize": 4, "linewidth": 1.4, "zorder": 3}
    of = {"measured now": (slice(0, first), SECOND), "foretold": (slice(first, None), FIRST)}
    for label, (part, colour) in of.items():
        if middle[part]:
            axes.errorbar(places[part], middle[part], (below[part], above[part]), color=colour, label=label, **bars)
    axes.set_xticks(list(places), [f"{row['images']:,}" for row in rows])
    axes.set_xlim(-0.4, len(rows) - 0.6)
    tidy(axes, "images to learn from", "right answers (%)", "More images like these")
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower right", bbox_to_anchor=(1.02, 1.0))
    return drawing


def coverage_figure(found: Mapping[str, Sequence[float]]) -> Figure:
    """Right answers (%) over the share of images that are answered, the surest first (`selective`)."""
    drawing = figure(5.4, 3.0)
    axes = drawing.subplots()
    shares = [100 * share for share in found["coverage"]]
    right = [100 * top1 for top1 in found["top1"]]
    axes.plot(shares, right, "o-", color=FIRST, markersize=4, linewidth=1.4)
    axes.set_xticks(range(10, 101, 10))
    low = min(right)
    axes.set_ylim(max(low - max(100 - low, 2) * 0.15, 0), 100 + max(100 - low, 2) * 0.05)
    told = "share of the images that are answered, the surest first (%)"
    tidy(axes, told, "right answers (%)", "When only the sure ones are answered")
    return drawing
