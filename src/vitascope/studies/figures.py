"""The paper's Figures 3, 4 and 5, drawn from a study's rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vitascope.studies.analysis import FINETUNED, OVERFIT, Row, Table
from vitascope.studies.compute_verdicts import training_flops
from vitascope.views.drawing import figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By kind: a marker, and the Okabe-Ito colours its models take in order of cost.
_LOOKS = {
    "ViT": ("o", ("#56b4e9", "#0072b2", "#003f6b", "#cc79a7")),
    "hybrid": ("D", ("#009e73", "#006b4e")),
    "ResNet": ("s", ("#e69f00", "#d55e00", "#8a3d00")),
}


def draw_data_scaling(rows: list[Row], flops: dict[str, float], shots: int) -> Figure:
    """Accuracy after fine-tuning (Figure 3), few-shot (Figure 4) and overfitting, against images pre-trained on."""
    panels = [
        (FINETUNED, "test accuracy, fine-tuned (%)"),
        (f"{shots}-shot", f"test accuracy, {shots} per class (%)"),
        (OVERFIT, "rise of validation loss after its least"),
    ]
    return _panels(rows, flops, panels, "size", lambda row: float(row["size"]), "images pre-trained on")


def draw_compute(rows: list[Row], flops: dict[str, float], shots: int, batch: int) -> Figure:
    """Accuracy against the computation of pre-training (Figure 5)."""
    panels = [
        (FINETUNED, "test accuracy, fine-tuned (%)"),
        (f"{shots}-shot", f"test accuracy, {shots} per class (%)"),
    ]
    at = {(row["model"], row["steps"]): training_flops(row, flops, batch) for row in rows}
    return _panels(
        rows, flops, panels, "steps", lambda row: at[row["model"], row["steps"]], "operations of pre-training"
    )


def _panels(
    rows: list[Row],
    flops: dict[str, float],
    panels: list[tuple[str, str]],
    axis: str,
    x: Callable[[Row], float],
    label: str,
) -> Figure:
    drawing = figure(4.4 * len(panels), 4.2)
    all_axes = drawing.subplots(1, len(panels), squeeze=False)[0]
    for axes, (measure, y) in zip(all_axes, panels, strict=True):
        _panel(axes, rows, flops, Table(rows, measure, axis), axis, x)
        axes.set_xscale("log")
        tidy(axes, label, y)
        if axis == "size":
            places = sorted({row["size"] for row in rows})
            axes.set_xticks(places, [f"{place:,}" for place in places])
            axes.minorticks_off()
            axes.set_xlim(places[0] / 1.4, places[-1] * 1.4)
    handles, names = all_axes[0].get_legend_handles_labels()
    drawing.legend(handles, names, loc="outside upper left", ncols=len(names), frameon=False, fontsize=9)
    return drawing


def _panel(
    axes: Axes, rows: list[Row], flops: dict[str, float], table: Table, axis: str, x: Callable[[Row], float]
) -> None:
    scale = 1.0 if table.measure == OVERFIT else 100.0
    kinds = {row["model"]: row["kind"] for row in rows}
    at = {(row["model"], row[axis]): x(row) for row in rows}
    for kind, (marker, colours) in _LOOKS.items():
        names = sorted((name for name in table.values if kinds[name] == kind), key=lambda name: flops[name])
        for number, name in enumerate(names):
            places = table.places(name)
            found = [table.interval(name, place) for place in places]
            axes.errorbar(
                # A little apart, so that bars of the same size are all seen.
                [at[name, place] * 1.02 ** (number + 3 * list(_LOOKS).index(kind) - 4) for place in places],
                [scale * one.mean for one in found],
                yerr=[scale * (one.half or 0.0) for one in found],
                color=colours[number % len(colours)],
                marker=marker,
                markersize=5,
                linewidth=1.5,
                linestyle="--" if kind == "ResNet" else "-",
                elinewidth=0.9,
                capsize=2,
                label=name,
            )
