"""Pictures of results: learning curves of runs, confusion matrix of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitascope.checkpoints.run_files import RESULTS, read_json
from vitascope.evaluation.metrics import SCORES
from vitascope.training.record import read_metrics
from vitascope.views.drawing import COLOURS, FIRST, INK, SECOND, figure, shown, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = "curves.png"
_WITH_SHARES, _WITH_NAMES = 20, 120
"""Classes up to which the cells of a confusion matrix hold numbers, and its sides names."""


def draw_curves(folder: Path) -> Path | None:
    """Writes `folder`/curves.png of its run; None where its record has no lines."""
    drawing = curves({"": folder})
    if drawing is None:
        return None
    drawing.savefig(folder / CURVES)
    return folder / CURVES


def curves(runs: Mapping[str, Path]) -> Figure | None:
    """Loss in training and on the validation set of runs by their names, and below it what the validation set got right
    beside chance; None where no record has lines."""
    records = {name: read_metrics(folder) for name, folder in runs.items()}
    if not any("loss" in line for lines in records.values() for line in lines):
        return None
    found = [line["validation"] for lines in records.values() for line in lines if "validation" in line]
    score = next((name for name in SCORES if found and name in found[0]), None)
    drawing = figure(5.4, 5.4 if score else 3.0)
    panels = drawing.subplots(2 if score else 1, sharex=True, squeeze=False)[:, 0]
    for (name, lines), colour in zip(records.items(), COLOURS, strict=False):
        of, other = (f"{name}, ", colour) if len(runs) > 1 else ("", SECOND)
        judged = {x["step"]: x["validation"] for x in lines if "validation" in x}
        trained = {x["step"]: x["loss"] for x in lines if "loss" in x}
        steps = list(trained)
        if len(steps) > 1 and 2 * (steps[-1] - steps[-2]) < steps[0]:  # a mean over far fewer steps than the others
            del trained[steps[-1]]
        panels[0].plot(list(trained), list(trained.values()), color=colour, linewidth=1.1, label=f"{of}training")
        dots: dict[str, Any] = {"color": other, "markersize": 3.5, "linewidth": 1.1, "label": f"{of}validation"}
        if judged:
            panels[0].plot(list(judged), [x["loss"] for x in judged.values()], "o--", **dots)
        if judged and score:
            panels[1].plot(list(judged), [100 * x[score] for x in judged.values()], "o--", **dots)
    tidy(panels[0], "" if score else "step", "loss", "Loss" if found else "Loss; nothing was held out")
    panels[0].set_ylim(bottom=min(0, panels[0].get_ylim()[0]))
    if score:
        tidy(panels[1], "step", f"{SCORES[score]} (%)", "Right on images held out")
        panels[1].set_ylim(0, 100)
        _draw_chance(panels[1], runs)
    for axes in panels:
        axes.legend(frameon=False, fontsize=9)
    return drawing


def _draw_chance(axes: Axes, runs: Mapping[str, Path]) -> None:
    """A line across at what one gets right without looking, which the runs' results say."""
    for folder in runs.values():
        results = read_json(folder / RESULTS, "") if (folder / RESULTS).is_file() else {}
        judged = results.get("validation", {})
        if baseline := judged.get("baseline"):
            share, what = baseline["top1"], f"always {shown(baseline['class'])}"
        elif "by_chance" in judged:
            share, what = judged["by_chance"], "by chance"
        else:
            continue
        axes.axhline(100 * share, color=INK, linewidth=1, linestyle=(0, (1, 2)), label=f"{what}: {100 * share:.0f} %")
        return


def confusion_figure(confusion: np.ndarray, labels: tuple[str, ...], of: str) -> Figure:
    """Counts (K, K), rows true, columns predicted, each row as shares of its images; `of` says which images.

    What is right is blue as its share says, what is wrong orange as the root of its share, so that a few are seen.
    """
    from matplotlib.colors import to_rgb

    k, totals = len(labels), confusion.sum(axis=1)
    share = confusion / np.maximum(totals, 1)[:, None]
    right = np.eye(k, dtype=bool)
    paint = np.empty((k, k, 4))
    paint[..., :3] = np.where(right[..., None], to_rgb(FIRST), to_rgb(SECOND))
    paint[..., 3] = np.where(right, share, np.sqrt(share))  # no colour is no paint, on any ground
    size = 9.0 if k <= 12 else 7.5 if k <= 40 else 6.0
    names = [shown(name) for name in labels] if k <= _WITH_NAMES else []
    beside = 0.062 * size / 7.5 * max(map(len, names), default=0) + 0.6
    cell = 0.62 if k <= 6 else 0.46 if k <= _WITH_SHARES else 0.19 if k <= 40 else 0.125
    side = max(cell * k, 2.0) if names else 7.0
    drawing = figure(max(side + beside, 3.8), side + beside + 0.5)
    axes = drawing.subplots()
    axes.imshow(paint)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_alpha(0.3)
    axes.tick_params(length=0)
    images, correct = int(totals.sum()), int(confusion.trace())
    how = "" if k <= _WITH_SHARES else " by colour: blue right, orange wrong"
    title = f"Confusion, {of}\n{correct:,} of {images:,} images right; shares of each row{how}"
    drawing.suptitle(title, x=0.01, ha="left", fontsize=9, parse_math=False)
    if not names:
        axes.set_xticks([])
        axes.set_yticks([])
        return drawing
    axes.set_xticks(range(k), names, rotation=90, fontsize=size)
    axes.set_yticks(range(k), names, fontsize=size)
    for row, column in np.argwhere(confusion) if k <= _WITH_SHARES else ():
        told = _percent(share[row, column]) + (f"\n{confusion[row, column]:,}" if k <= 6 else "")
        ink = "white" if paint[row, column, 3] > 0.75 else INK
        axes.text(column, row, told, ha="center", va="center", color=ink, fontsize=size - 0.5)
    return drawing


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"
