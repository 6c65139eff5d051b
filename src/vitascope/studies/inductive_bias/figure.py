"""The study in one figure: a colour per model, solid and filled where trained, dashed and hollow where not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vitascope.studies.inductive_bias.measure import LayerResult, ModelResult
from vitascope.views.drawing import FIRST, INK, MARK, SECOND, THIRD, figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (FIRST, SECOND, THIRD, "#cc79a7", "#e69f00", MARK)
"""Of the Okabe-Ito palette."""
UNTRAINED: dict[str, Any] = {"linestyle": (0, (4, 2)), "markerfacecolor": "white"}
_FLOOR = 1e-3
"""Errors below are drawn at the foot of the panel; rounding is not a height."""
_KINDS = ("convolution", "attention", "mlp")
_CHAIN = ("convolution", "patches", "tokens")


def draw_study(models: Sequence[ModelResult]) -> Figure:
    """Six panels; raises nothing for measures that a model does not have, which are left out."""
    drawing = figure(13.5, 7.6)
    drawing.set_layout_engine("constrained", h_pad=0.1, w_pad=0.1)  # six plots, none of which is a square picture
    (path, alone, radius), (distance, shuffle, positions) = drawing.subplots(2, 3)
    names = list(dict.fromkeys(model.name for model in models))
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}
    for model in models:
        for axes, kinds, measure in (
            (path, _CHAIN, "error_step"),
            (radius, _CHAIN, "field_radius_share"),
            (distance, ("attention",), "distance_share"),
        ):
            _line(axes, model, model.of(*kinds), measure, colours[model.name])
    _alone(alone, models, colours)
    _bars(shuffle, models, colours, "shuffle_change")
    _bars(positions, models, colours, "positions_correlation")

    for axes, what, y in (
        (path, "Shift by whole cells: from the image to each layer", "equivariance error"),
        (radius, "Receptive field by depth", "radius of the gradient's energy\n(1: the whole image alike)"),
        (distance, "Attention by depth", "mean attention distance\n(1: all tokens alike)"),
    ):
        tidy(axes, "relative depth", y)
        if axes is not path:
            axes.axhline(1, color=INK, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
        axes.set_title(what, loc="left", fontsize=10.5)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(0, 1.06 * max(axes.get_ylim()[1], 1e-6))
    alone.set_title("Each kind of layer by itself", loc="left", fontsize=10.5)
    shuffle.set_title("Cells shuffled", loc="left", fontsize=10.5)
    tidy(shuffle, "", "change of the features\n(1: another image)")
    positions.set_title("Positions", loc="left", fontsize=10.5)
    tidy(positions, "", "correlation of similarity with distance\n(−1: two-dimensional)")
    positions.axhline(0, color=INK, linewidth=0.8)
    low, high = positions.get_ylim()
    positions.set_ylim(min(low, -0.5), max(high, 0.05))  # what is but noise looks small
    _key(drawing, names, colours, models)
    return drawing


def _line(axes: Axes, model: ModelResult, layers: Sequence[LayerResult], measure: str, colour: str) -> None:
    points = [(layer.depth, value) for layer in layers if (value := layer.values.get(measure)) is not None]
    if points:
        style: dict[str, Any] = {"color": colour, "linewidth": 1.5, "markersize": 4, "marker": "o"}
        if not model.trained:
            style |= UNTRAINED
        axes.plot(*zip(*points, strict=True), **style)


def _alone(axes: Axes, models: Sequence[ModelResult], colours: dict[str, str]) -> None:
    """A dot per layer in a column per kind; convolutions are without GroupNorm's statistics, which are no layer's."""
    for n, model in enumerate(models):
        shift = 0.6 * (n + 0.5) / len(models) - 0.3
        for place, kind in enumerate(_KINDS):
            measure = "error_alone_fixed" if kind == "convolution" else "error_alone"
            values = [v for layer in model.of(kind) if (v := layer.values[measure]) is not None]
            face = colours[model.name] if model.trained else "white"
            heights = [max(value, _FLOOR) for value in values]
            axes.plot(
                [place + shift] * len(heights),
                heights,
                "o",
                color=colours[model.name],
                markerfacecolor=face,
                markersize=4,
            )
    axes.set_yscale("log")
    axes.set_ylim(_FLOOR / 1.5, 3)
    axes.set_yticks([_FLOOR, 1e-2, 1e-1, 1], [f"≤ {_FLOOR:g}", "0.01", "0.1", "1"])
    axes.set_yticks([], minor=True)
    tidy(axes, "", "equivariance error")
    axes.set_xlim(-0.5, len(_KINDS) - 0.5)
    axes.set_xticks(range(len(_KINDS)), ["convolution", "attention", "MLP"])


def _bars(axes: Axes, models: Sequence[ModelResult], colours: dict[str, str], measure: str) -> None:
    """Trained and untrained side by side, the models in order."""
    names = list(colours)
    beside = not all(model.trained for model in models)
    width = 0.36 if beside else 0.6
    for model in models:
        value = model.whole.get(measure)
        if value is None:
            continue
        place = names.index(model.name) + (0 if not beside else -0.2 if model.trained else 0.2)
        colour = colours[model.name]
        axes.bar(
            place,
            value,
            width,
            edgecolor=colour,
            facecolor=colour if model.trained else "white",
            linewidth=1.3,
            linestyle="-" if model.trained else UNTRAINED["linestyle"],
        )
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xticks([])


def _key(drawing: Figure, names: Sequence[str], colours: dict[str, str], models: Sequence[ModelResult]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colours[name], marker="o", markersize=4, label=name) for name in names]
    if not all(model.trained for model in models):
        handles.append(Line2D([], [], color=INK, marker="o", markersize=4, label="untrained", **UNTRAINED))
    drawing.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 5), frameon=False, fontsize=10)
