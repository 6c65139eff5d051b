"""The study in one figure: a colour per model, solid and filled where trained, dashed and hollow where not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from vitascope.studies.inductive_bias.study import Measured
from vitascope.views.drawing import COLOURS, INK, figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHED = (0, (4, 2))
_FLOOR = 1e-3
"""Errors below are drawn at the foot of the panel; rounding is not a height."""
_CHAIN = ("convolution", "patches", "tokens")
# Convolutions are without GroupNorm's statistics, which are no layer's.
_ALONE = {"convolution": "error_alone_fixed", "attention": "error_alone", "MLP": "error_alone"}


def draw_study(models: Sequence[Measured]) -> Figure:
    """Six panels; measures that a model does not have are left out."""
    from matplotlib.lines import Line2D

    drawing = figure(13.5, 7.6)
    drawing.set_layout_engine("constrained", h_pad=0.1, w_pad=0.1)  # six plots, none of which is a square picture
    (path, alone, radius), (distance, shuffle, positions) = drawing.subplots(2, 3)
    names = list(dict.fromkeys(model.name for model in models))
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    beside = not all(model.trained for model in models)
    for number, model in enumerate(models):
        style = _style(colours[model.name], model.trained)
        _by_depth(path, model, _CHAIN, "error_step", style)
        _by_depth(radius, model, _CHAIN, "field_radius_share", style)
        _by_depth(distance, model, ("attention",), "distance_share", style)
        for place, (kind, measure) in enumerate(_ALONE.items()):
            heights = [max(v, _FLOOR) for layer in model.of(kind.lower()) if (v := layer[measure]) is not None]
            x = place + 0.6 * (number + 0.5) / len(models) - 0.3
            alone.plot([x] * len(heights), heights, **{**style, "linestyle": ""})
        x = names.index(model.name) + ((-0.2 if model.trained else 0.2) if beside else 0)
        for axes, measure in ((shuffle, "shuffle_change"), (positions, "positions_correlation")):
            if (value := model.whole.get(measure)) is not None:
                look = {"fc": style["markerfacecolor"], "ec": style["color"], "linestyle": style["linestyle"]}
                axes.bar(x, value, 0.36 if beside else 0.6, linewidth=1.3, **look)
    for axes, title, y in (
        (path, "Shift by whole cells: from the image to each layer", "equivariance error"),
        (alone, "Each kind of layer by itself", "equivariance error"),
        (radius, "Receptive field by depth", "radius of the gradient's energy\n(1: the whole image alike)"),
        (distance, "Attention by depth", "mean attention distance\n(1: all tokens alike)"),
        (shuffle, "Cells shuffled", "change of the features\n(1: another image)"),
        (positions, "Positions", "correlation of similarity with distance\n(−1: two-dimensional)"),
    ):
        axes.set_title(title, loc="left", fontsize=10.5)
        tidy(axes, "relative depth" if axes in (path, radius, distance) else "", y)
    for axes in (radius, distance):
        axes.axhline(1, color=INK, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
    for axes in (path, radius, distance):
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(0, 1.06 * max(axes.get_ylim()[1], 1e-6))
    alone.set_yscale("log")
    alone.set_ylim(_FLOOR / 1.5, 3)
    alone.set_yticks([_FLOOR, 1e-2, 1e-1, 1], [f"≤ {_FLOOR:g}", "0.01", "0.1", "1"])
    alone.set_yticks([], minor=True)
    alone.set_xticks(range(len(_ALONE)), list(_ALONE))
    alone.set_xlim(-0.5, len(_ALONE) - 0.5)
    for axes in (shuffle, positions):
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_xticks([])
    positions.axhline(0, color=INK, linewidth=0.8)
    low, high = positions.get_ylim()
    positions.set_ylim(min(low, -0.5), max(high, 0.05))  # what is but noise looks small
    handles = [Line2D([], [], label=name, **_style(colour, True)) for name, colour in colours.items()]
    handles += [Line2D([], [], label="untrained", **_style(INK, False))] if beside else []
    drawing.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 5), frameon=False, fontsize=10)
    return drawing


def _style(colour: str, trained: bool) -> dict[str, Any]:
    """Of a line with dots."""
    look = {"color": colour, "linewidth": 1.5, "marker": "o", "markersize": 4}
    return {**look, "markerfacecolor": colour if trained else "white", "linestyle": "-" if trained else _DASHED}


def _by_depth(axes: Axes, model: Measured, kinds: Sequence[str], measure: str, style: dict[str, Any]) -> None:
    points = [(layer["depth"], layer[measure]) for layer in model.of(*kinds) if layer.get(measure) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), **style)
