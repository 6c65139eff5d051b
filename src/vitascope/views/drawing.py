"""How figures look: one size of type, one ink, colour maps that are even to the eye and safe for the colour-blind.

Figures are matplotlib's `Figure` without pyplot, so that nothing is global and any thread may draw.
"""

from __future__ import annotations

import io
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitascope.wording import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#333333"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of the Okabe-Ito palette: blue, vermilion, green, purple, orange, sky; for lines and dots, in this order."""
FIRST, SECOND, THIRD, _, _, MARK = COLOURS
"""The last is the patch that was asked about, on any map."""
HEAT = "magma"
"""Colour map for amounts that start from 0: attention, rollout, norms."""
EVEN = "viridis"
"""Colour map for what has a lower and an upper bound: similarity, probability."""
_SCROLLED = 6.5
"""Inches of a figure beyond which a page scrolls it and does not shrink it."""
_LONGEST = 28
"""Letters of a name in a figure."""


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from vitascope.views.shown_figure import ShownFigure

    return ShownFigure(figsize=(width, height), layout="compressed", dpi=120)


def save_figure(drawing: Figure, path: Path) -> None:
    """Writes `path`.png and `path`.svg, the same bytes for the same numbers: with neither date nor random names."""
    from matplotlib import rc_context

    drawing.savefig(path.with_suffix(".png"), metadata={"Software": None})
    drawing.set_layout_engine("none")  # it is laid out; doing it again takes as long as drawing
    with rc_context({"svg.hashsalt": "vitascope"}):
        drawing.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def inline(drawing: Figure, said: str) -> str:
    """A figure as SVG to stand in a page, `said` for who cannot see it: without a ground, its ink the colour of the
    page's text, as wide as it says or less where there is less room.

    Wider than `_SCROLLED` it keeps its width and is to be scrolled, because its letters are small already.
    """
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "vitascope", "svg.fonttype": "none"}), io.StringIO() as file:
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawing.savefig(file, format="svg", transparent=True, metadata=nothing)
        text = file.getvalue()
    inside = text[text.index(">", text.index("<svg")) + 1 :]
    # Of several in a page the styles would be the page's, and names of groups, to which nothing refers, occur twice.
    inside = re.sub(r"<style.*?</style>", "", inside, flags=re.DOTALL)
    inside = re.sub(r'<g id="[^"]*"', "<g", inside).replace("xlink:href", "href")
    inside = re.sub("'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", inside)
    inside = re.sub(f"#000000|{INK}", "currentColor", inside)
    width, height = drawing.get_size_inches()
    bound = f"min-width:{width:g}in" if width > _SCROLLED else "max-width:100%"
    return (
        f'<svg role="img" aria-label="{escape(said)}" viewBox="0 0 {72 * width:g} {72 * height:g}" '
        f'style="width:{width:g}in;{bound}" fill="currentColor" stroke-linejoin="round">{inside}'
    )


def shown(name: str) -> str:
    """A name as a figure can show it, on one line and not too long."""
    name = printable(name).replace("$", r"\$")  # two of them would set a formula
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def tidy(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Labels, a faint grid and no frame above and to the right."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def depth_ticks(axes: Axes, depth: int) -> None:
    """Layers 1 to `depth` below the axes, not more numbers than there is room for."""
    axes.set_xticks(range(1, depth + 1, -(-depth // 16)))


def heads_by_layer(
    values: np.ndarray, y: str, *, top: float | None = None, line: tuple[float, str] | None = None
) -> Figure:
    """A dot per head and a line for their mean over the depth, (L, h), from 0 to `top`; and a `line` across, named."""
    drawing = figure(6.4, 4.2)
    axes = drawing.subplots()
    depth, heads = values.shape
    layers = np.arange(1, depth + 1)
    # Side by side a little, so that heads of the same value are all seen.
    shift = np.linspace(-0.16, 0.16, heads) if heads > 1 else np.zeros(1)
    axes.plot(layers, values.mean(axis=1), color=SECOND, linewidth=1.4, label="mean over heads", zorder=2)
    dots: dict[str, Any] = {"color": FIRST, "markersize": 4.5, "alpha": 0.75, "markeredgewidth": 0, "zorder": 3}
    for head in range(heads):
        axes.plot(layers + shift[head], values[:, head], "o", label=None if head else "one head", **dots)
    axes.set_xlim(0.4, depth + 0.6)
    depth_ticks(axes, depth)
    tidy(axes, "layer", y)
    if line is not None:
        axes.axhline(line[0], color=INK, linewidth=1, linestyle=(0, (4, 3)), label=line[1])
    axes.set_ylim(0, top or 1.08 * max(float(values.max()), line[0] if line else 0.0, 1e-6))
    # The legend stands in one line above the axes, where it hides nothing.
    columns = len(axes.get_legend_handles_labels()[1])
    axes.legend(
        frameon=False, fontsize=9, ncols=columns, loc="lower left", bbox_to_anchor=(-0.02, 1.0), handlelength=1.6
    )
    return drawing
