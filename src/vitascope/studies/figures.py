"""The paper's Figures 3, 4 and 5, drawn from a study's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitascope.studies.analysis import FINETUNED, OVERFIT, Table
from vitascope.studies.evidence import Evidence
from vitascope.views.drawing import COLOURS, figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By kind: a marker, and the colours its models take in order of cost; three are darker ones of the palette.
_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY = COLOURS
_LOOKS = {
    "ViT": ("o", (_SKY, _BLUE, "#003f6b", _PURPLE)),
    "hybrid": ("D", (_GREEN, "#006b4e")),
    "ResNet": ("s", (_ORANGE, _VERMILION, "#8a3d00")),
}


def draw_study(evidence: Evidence) -> Figure:
    """Accuracy after fine-tuning and few-shot, against images pre-trained on (Figures 3, 4) or computation (Figure 5).

    Against images also overfitting, which is what they decide.
    """
    by_size = evidence.study.axis == "size"
    panels = {
        FINETUNED: "test accuracy, fine-tuned (%)",
        evidence.few: f"test accuracy, {min(evidence.study.shots)} per class (%)",
        **({OVERFIT: "rise of validation loss from its least"} if by_size else {}),
    }
    drawing = figure(4.4 * len(panels), 4.2)
    all_axes = drawing.subplots(1, len(panels), squeeze=False)[0]
    for axes, (measure, y) in zip(all_axes, panels.items(), strict=True):
        _panel(axes, evidence, evidence.table(measure))
        axes.set_xscale("log")
        tidy(axes, "images pre-trained on" if by_size else "operations of pre-training", y)
        if by_size:
            places = sorted({row["size"] for row in evidence.rows})
            axes.set_xticks(places, [f"{place:,}" for place in places])
            axes.minorticks_off()
            axes.set_xlim(places[0] / 1.4, places[-1] * 1.4)
    handles, names = all_axes[0].get_legend_handles_labels()
    drawing.legend(handles, names, loc="outside upper left", ncols=len(names), frameon=False, fontsize=9)
    return drawing


def _panel(axes: Axes, evidence: Evidence, table: Table) -> None:
    scale = 1.0 if table.measure == OVERFIT else 100.0
    for side, (kind, (marker, colours)) in enumerate(_LOOKS.items()):
        names = [name for name in evidence.models(kind) if name in table.values]
        for number, name in enumerate(names):
            places = table.places(name)
            means = [table.mean(name, place) for place in places]
            x = places if table.axis == "size" else [evidence.operations(name, steps) for steps in places]
            axes.errorbar(
                # A little apart, so that bars of the same size are all seen.
                [at * 1.02 ** (number + 3 * side - 4) for at in x],
                [scale * one.mean for one in means],
                yerr=[one.bar(scale) for one in means],
                color=colours[number % len(colours)],
                marker=marker,
                markersize=5,
                linewidth=1.5,
                linestyle="--" if kind == "ResNet" else "-",
                elinewidth=0.9,
                capsize=2,
                label=name,
            )
