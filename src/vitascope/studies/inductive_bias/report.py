"""The study as files: study.json, a tidy table, the figure, and a README that says what it means."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from vitascope.checkpoints.run_files import environment, write_json
from vitascope.studies.inductive_bias.figure import draw_study
from vitascope.studies.inductive_bias.reading import Reading, read
from vitascope.studies.inductive_bias.settings import OF_LAYERS, OF_MODELS, InductiveBias
from vitascope.studies.inductive_bias.study import Measured
from vitascope.studies.reading import table
from vitascope.views.drawing import save_figure

JSON, TABLE, FIGURE, README = "study.json", "measures.csv", "inductive_bias", "README.md"
COLUMNS = ("model", "trained", "layer", "depth", "measure", "value")


def write_study(
    models: Sequence[Measured], pictures: str, settings: InductiveBias, folder: Path
) -> tuple[Reading, ...]:
    """Writes all files into `folder`, which exists, and returns the reading; `pictures` says what was looked at."""
    reading = read(models)
    head = {"vitascope": "study inductive-bias", "version": 2, "environment": environment()}
    body = {"settings": asdict(settings), "images": pictures, "models": [asdict(model) for model in models]}
    write_json(folder / JSON, {**head, **body, "reading": [asdict(one) for one in reading]})
    with (folder / TABLE).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows([COLUMNS, *rows(models)])
    save_figure(draw_study(models), folder / FIGURE)
    (folder / README).write_text(_readme(models, pictures, reading), encoding="utf-8", errors="backslashreplace")
    return reading


def rows(models: Sequence[Measured]) -> Iterator[tuple[str, ...]]:
    """Every number with its place; layer and depth are empty where it is the whole model's."""
    for model in models:
        places = [(layer["name"], f"{layer['depth']:.6g}", layer) for layer in model.layers]
        for layer, depth, values in [*places, ("", "", model.whole)]:
            for measure in (*OF_LAYERS, *OF_MODELS):
                if (value := values.get(measure)) is not None:
                    yield model.name, str(model.trained).lower(), layer, depth, measure, f"{value:.6g}"


def _readme(models: Sequence[Measured], pictures: str, reading: Sequence[Reading]) -> str:
    parts = ["# Inductive bias, layer by layer", f"Images: {pictures}. Settings and every number: {JSON}."]
    parts += [f"![Six panels]({FIGURE}.png)", "## What it says"]
    for one in reading:
        parts += [f"**{one.statement}** {one.verdict[0].upper()}{one.verdict[1:]}.", f"Rule: {one.rule}"]
        parts += ["\n".join(f"- {text}" for text in one.found)] if one.found else []
    whole = [
        [f"{m.name}, {m.state}", m.kind, "×".join(map(str, m.image_size)), m.step, *_cells(m.whole, OF_MODELS)]
        for m in models
    ]
    parts += ["## Models", table(["model", "kind", "image", "step", *OF_MODELS], whole)]
    for model in models:
        layers = [[one["name"], f"{one['depth']:.2f}", one["stride"], *_cells(one, OF_LAYERS)] for one in model.layers]
        parts += [f"## {model.name}, {model.state}", table(["layer", "depth", "pixels per cell", *OF_LAYERS], layers)]
    explained = [f"- `{name}`: {text}" for name, text in (OF_LAYERS | OF_MODELS).items()]
    return "\n\n".join([*parts, "## What is measured", _HOW, "\n".join(explained)]) + "\n"


def _cells(values: dict[str, float | None], measures: Iterable[str]) -> list[str]:
    numbers = [values.get(measure) for measure in measures]
    return ["–" if value is None else "0" if abs(value) < 5e-5 else f"{value:.4g}" for value in numbers]


_HOW = """A shift of N pixels is N pixels down and N to the right: two windows of one larger picture, so that no pixel
is invented. Only cells that both windows show are compared, without the two outermost where there is room (of a layer
by itself, without those that its own padding changes). An equivariance error is a mean squared difference, divided by
that of any two cells of the layer over all places, images and windows: 0 is equivariant, 1 is as different as unrelated
places, and more is possible. Changes of features are likewise relative to those between different images. By itself a
layer is given two windows of its own input, so that it is not blamed for the layers before it.

A receptive field is the squared gradient of the centre cell of a layer, its channels weighted at random, by pixel.
GroupNorm's statistics tie each cell to all of the map; the box around what a cell depends on is found with them held
fixed, everything else with them as they are. Untrained models have official initial values, with which the units of
a hybrid's stem start as their shortcuts: a stem's boxes are then smaller than its kernels."""
