"""The figure, the paper's statements and the tables of what was measured at every size."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.checkpoints.run_files import environment, write_json
from vitascope.evaluation.interval import Interval, interval
from vitascope.studies.evidence import Claim, Outcome
from vitascope.studies.image_sizes.settings import ImageSizes
from vitascope.studies.image_sizes.study import Measured
from vitascope.studies.reading import listed, table, told_verdict
from vitascope.studies.verdicts import Verdict, verdict
from vitascope.views.drawing import COLOURS, figure, save_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JSON, TABLE, FIGURE, README = "study.json", "measures.csv", "image_sizes", "README.md"
ALIKE = 0.9
"""Of the other's rate, or more: as fast."""
SHOWS = 0.75
"""Of the pixels a second at the smallest size, or more, at the largest: the quadratic cost barely shows."""


def write_image_sizes(rows: Sequence[Measured], settings: ImageSizes, folder: Path) -> list[Verdict]:
    """Writes all files into `folder`, which exists; returns the verdicts."""
    judged = statements(rows)
    head = {"vitascope": "study cost", "version": 1, "environment": environment(), "settings": asdict(settings)}
    write_json(folder / JSON, {**head, "rows": [asdict(row) for row in rows], "verdicts": [asdict(v) for v in judged]})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("model", "kind", "size", "parameters", "flops", "inference", "training", "largest_batch"))
    for row in rows:
        rates = (f"{rate:.6g}" for rate in row.rates.values())
        writer.writerow((row.model, row.kind, row.size, row.parameters, f"{row.flops:.6g}", *rates, row.largest_batch))
    (folder / TABLE).write_text(out.getvalue(), encoding="utf-8")
    save_figure(draw_image_sizes(rows), folder / FIGURE)
    (folder / README).write_text(_readme(rows, settings, judged), encoding="utf-8")
    return judged


def statements(rows: Sequence[Measured]) -> list[Verdict]:
    """The paper's on speed and memory; a ViT is held against the ResNet of most nearly as many operations."""
    at = {(row.model, row.size): row for row in rows}
    sizes = sorted({row.size for row in rows})
    vits, resnets = ([row for row in rows if row.kind == kind and row.size == sizes[-1]] for kind in ("ViT", "ResNet"))
    nothing = [Claim(text="there is no ViT, or no ResNet, to compare")]
    speed, memory = [], []
    for vit in vits if resnets else []:
        rival = min(resnets, key=lambda other: abs(math.log(other.flops / vit.flops)))
        for size in sizes:
            one, other = at[vit.model, size], at[rival.model, size]
            found = interval([a / b for a, b in zip(one.inference, other.inference, strict=True)])
            named = f"{size} px: {vit.model} has {_times(found)} the images a second of {rival.model}"
            speed.append(Claim(text=named, outcome=_at_least(found, ALIKE)))
            batches = f"{one.largest_batch:,} images against {other.largest_batch:,}"
            more: Outcome = "holds" if one.largest_batch > other.largest_batch else "does not hold"
            memory.append(Claim(text=f"{size} px: {batches}, {vit.model} and {rival.model}", outcome=more))
    shows = []
    for vit in vits:
        small, large = at[vit.model, sizes[0]], vit
        scale = (sizes[-1] / sizes[0]) ** 2
        found = interval([scale * b / a for a, b in zip(small.inference, large.inference, strict=True)])
        named = f"{vit.model}, {sizes[-1]} px: {_times(found)} the pixels a second of {sizes[0]} px"
        shows.append(Claim(text=named, outcome=_at_least(found, SHOWS)))
    return [
        verdict(f"ViTs are as fast as ResNets of their operations, by {ALIKE:g} and more", speed or nothing),
        verdict("ViTs take larger batches than these", memory or nothing),
        verdict(f"The quadratic cost of attention barely shows, by {SHOWS:g} and more", shows or nothing),
    ]


def _times(found: Interval) -> str:
    return f"{found.mean:.2f}{'' if found.half is None else f' ± {found.half:.2f}'} times"


def _at_least(found: Interval, least: float) -> Outcome:
    if found.half is None or abs(found.mean - least) <= found.half:
        return "not decidable here"
    return "holds" if found.mean > least else "does not hold"


def draw_image_sizes(rows: Sequence[Measured]) -> Figure:
    """Images a second, and the largest batch, against the side of the image (Figure 12)."""
    drawing = figure(9.6, 4.2)
    left, right = drawing.subplots(1, 2)
    styles = {"ViT": "-", "hybrid": "-.", "ResNet": "--"}
    for colour, model in zip(cycle(COLOURS), dict.fromkeys(row.model for row in rows), strict=False):
        own = [row for row in rows if row.model == model]
        x = [row.size for row in own]
        for axes, y in ((left, [row.rates["inference"] for row in own]), (right, [row.largest_batch for row in own])):
            axes.plot(x, y, color=colour, linestyle=styles[own[0].kind], marker="o", markersize=4, label=model)
    sizes = sorted({row.size for row in rows})
    for axes, title in ((left, "images a second, inference"), (right, "largest batch of a training step")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        tidy(axes, "side of the image, pixels", title)
    left.legend(frameon=False, fontsize=8)
    return drawing


def _readme(rows: Sequence[Measured], settings: ImageSizes, judged: Sequence[Verdict]) -> str:
    where: dict[str, Any] = environment()
    body = [
        (
            row.model,
            row.size,
            f"{row.parameters / 1e6:.1f} M",
            f"{row.flops / 1e9:.2f}",
            *(f"{rate:,.1f}" for rate in row.rates.values()),
            f"{row.largest_batch:,}",
        )
        for row in rows
    ]
    head = ("model", "image, px", "parameters", "GFLOP", "inference, images/s", "training, images/s", "largest batch")
    how = (
        f"Rates are medians of {settings.rounds} rounds in which all take turns, {settings.batch} images at a time, "
        f"{settings.threads} threads, {settings.precision}; the largest batch is by formula, of a training step with "
        f"Adam within {settings.memory}. Intervals are 95 %, over rounds. Written by `{' '.join(where['command'])}` "
        f"on {where['processor']}, torch {where['torch']}, commit {where.get('commit', 'unknown')}."
    )
    parts = [
        "# Speed and memory against the size of the image (Figure 12)",
        how,
        table(head, body),
        listed("The paper's statements, here", [told_verdict(asdict(one)) for one in judged]),
        f"![images a second and largest batch]({FIGURE}.png)",
    ]
    return "\n\n".join(parts) + "\n"
