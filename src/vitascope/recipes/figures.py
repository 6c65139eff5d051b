"""Pictures of results: learning curves of runs, confusion matrix of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitascope.evaluation.metrics import SCORES
from vitascope.training.record import read_metrics
from vitascope.views.drawing import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = "curves.png"


def draw_curves(folder: Path) -> Path | None:
    """Writes `folder`/curves.png of its run; None where its record has no lines."""
    figure = curves({"": folder})
    if figure is None:
        return None
    figure.savefig(folder / CURVES, dpi=120)
    return folder / CURVES


def curves(runs: Mapping[str, Path]) -> Figure | None:
    """Training loss of runs by their names on the left, of a single one its learning rate too, and validation on the
    right; None where no record has lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, folder), colour in zip(runs.items(), COLOURS, strict=False):
        lines = read_metrics(folder)
        trained = [(x["step"], x["loss"], x["lr"]) for x in lines if "loss" in x]
        found = [(x["step"], x["validation"]) for x in lines if "validation" in x]
        score = next((name for name in SCORES if found and name in found[0][1]), None)
        judged = [(step, 100 * figures[score] if score else figures["loss"]) for step, figures in found]
        if trained:
            steps, losses, rates = zip(*trained, strict=True)
            left.plot(steps, losses, color=colour, linewidth=1.2, label=name)
        if trained and len(runs) == 1:
            rate = left.twinx()
            rate.plot(steps, rates, color=INK, linewidth=0.8, alpha=0.5)
            rate.set_ylabel("learning rate", color=INK, alpha=0.7)
            rate.spines[["top"]].set_visible(False)
        if judged:
            right.plot(*zip(*judged, strict=True), "o-", color=colour, markersize=3, label=name)
    if not left.lines:
        return None
    _label(left, "step", "training loss")
    if right.lines:
        _label(right, "step", f"validation {SCORES[score]} (%)" if score else "validation loss")
    else:
        right.text(0.5, 0.5, "no validation set", ha="center", va="center", color=INK)
        right.set_axis_off()
    if len(runs) > 1:
        left.legend(frameon=False)
    return figure


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def confusion_figure(confusion: np.ndarray, labels: tuple[str, ...]) -> Figure:
    """Counts (K, K): rows true, columns predicted, coloured by share of the row."""
    from matplotlib.figure import Figure

    k = len(labels)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = min(max(0.42 * k + 1.6, 3.6), 14.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if k <= 40:
        axes.set_xticks(range(k), labels, rotation=90)
        axes.set_yticks(range(k), labels)
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                ink = "white" if share[row, column] > 0.5 else INK
                axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize=8)
    return figure
