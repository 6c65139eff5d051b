"""Pictures of results: learning curves of a run, confusion matrix of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitascope.training.record import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = "curves.png"
INK, LOSS, ACCURACY = "#333333", "#3b6ea8", "#c4622d"


def draw_curves(folder: Path) -> Path | None:
    """Writes `folder`/curves.png: loss and learning rate on the left, validation on the right; None without lines."""
    from matplotlib.figure import Figure

    lines = read_metrics(folder)
    trained = [line for line in lines if "loss" in line]
    judged = [line for line in lines if "validation" in line]
    if not trained:
        return None
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([x["step"] for x in trained], [x["loss"] for x in trained], color=LOSS, linewidth=1.2)
    _label(left, "step", "training loss")
    rate = left.twinx()
    rate.plot([x["step"] for x in trained], [x["lr"] for x in trained], color=INK, linewidth=0.8, alpha=0.5)
    rate.set_ylabel("learning rate", color=INK, alpha=0.7)
    rate.spines[["top"]].set_visible(False)
    if judged:
        steps = [x["step"] for x in judged]
        right.plot(steps, [100 * x["validation"]["top1"] for x in judged], "o-", color=ACCURACY, markersize=3)
        _label(right, "step", "validation top-1 (%)")
    else:
        right.text(0.5, 0.5, "no validation set", ha="center", va="center", color=INK)
        right.set_axis_off()
    path = folder / CURVES
    figure.savefig(path, dpi=120)
    return path


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw_confusion(confusion: np.ndarray, labels: tuple[str, ...], path: str | Path) -> None:
    """Writes a PNG of counts (K, K): rows true, columns predicted, coloured by share of the row."""
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
    figure.savefig(path, dpi=120)
