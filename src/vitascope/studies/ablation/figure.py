"""An ablation as a figure: what is judged against an axis, a line per group; without an axis, variant by variant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from vitascope.studies.ablation.settings import Ablation
from vitascope.studies.analysis import Table
from vitascope.studies.evidence import Evidence
from vitascope.views.drawing import COLOURS, INK, figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_ablation(study: Ablation, evidence: Evidence) -> Figure:
    """Means with 95 % intervals in percent; the base, which is alone in its group, begins every line."""
    drawing = figure(6.4, 4.4)
    axes = drawing.subplots()
    table = evidence.table(study.measure)
    if study.ablation.x:
        _lines(axes, study, evidence, table)
    else:
        _rows(axes, study, table)
    return drawing


def _lines(axes: Axes, study: Ablation, evidence: Evidence, table: Table) -> None:
    groups: dict[str, list[tuple[float, str]]] = {}
    for variant in study.variants:
        name = variant.contender.name
        if name in table.values:
            x = evidence.flops[name] if variant.x is None else variant.x
            groups.setdefault(variant.group, []).append((x, name))
    alone = [
        points[0] for points in groups.values() if len(points) == 1 and len(groups) > 1 and study.variants[0].x is None
    ]
    for colour, (group, points) in zip(cycle(COLOURS), groups.items(), strict=False):
        shared = [point for point in alone[:1] if point not in points]  # what the group's variants are changes of
        ordered = sorted(points + shared)
        means = [table.mean(name, study.steps) for _, name in ordered]
        axes.errorbar(
            [x for x, _ in ordered],
            [100 * one.mean for one in means],
            yerr=[one.bar() for one in means],
            color=INK if points == alone[:1] else colour,
            marker="o",
            markersize=5,
            linewidth=1.5,
            elinewidth=0.9,
            capsize=2,
            label=group,
            zorder=3 if points == alone[:1] else 2,
        )
    axes.set_xscale("log")
    if told := sorted({variant.x for variant in study.variants if variant.x is not None}):
        axes.set_xticks(told, _apart(told))
        axes.minorticks_off()
    tidy(axes, study.ablation.x, f"{study.measure} test accuracy (%)")
    axes.legend(frameon=False, fontsize=9)


def _apart(places: Sequence[float]) -> list[str]:
    """What stands below rising places on a logarithmic axis; nothing where it would lie over the one before."""
    least = (places[-1] / places[0]) ** 0.08  # a label's share of the axis
    texts, last = [], 0.0
    for place in places:
        texts.append(f"{place:g}" if place >= last * least else "")
        last = place if texts[-1] else last
    return texts


def _rows(axes: Axes, study: Ablation, table: Table) -> None:
    names = [variant.contender.name for variant in study.variants if variant.contender.name in table.values]
    groups = {variant.contender.name: variant.group for variant in study.variants}
    colours = dict(zip(dict.fromkeys(groups.values()), cycle(COLOURS), strict=False))
    for place, name in enumerate(names):
        one = table.mean(name, study.steps)
        axes.errorbar(
            [100 * one.mean],
            [place],
            xerr=[one.bar()],
            color=colours[groups[name]],
            marker="o",
            markersize=6,
            elinewidth=1.2,
            capsize=3,
            linestyle="",
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    tidy(axes, f"{study.measure} test accuracy (%)", "")
