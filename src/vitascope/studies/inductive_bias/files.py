"""The study as files: study.json, a tidy table, the figure, and a README that says what it means."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from vitascope.recipes.run_folder import environment, write_json
from vitascope.studies.inductive_bias.figure import draw_study
from vitascope.studies.inductive_bias.measure import ModelResult
from vitascope.studies.inductive_bias.reading import Reading, read
from vitascope.studies.inductive_bias.settings import OF_LAYERS, OF_MODELS
from vitascope.studies.inductive_bias.study import BiasStudy
from vitascope.views.drawing import save_figure

JSON, TABLE, FIGURE, README = "study.json", "measures.csv", "inductive_bias", "README.md"
COLUMNS = ("model", "trained", "layer", "depth", "measure", "value")


def write_study(study: BiasStudy, folder: Path) -> tuple[Reading, ...]:
    """Writes all files into `folder`, which exists, and returns the reading."""
    reading = read(study.models)
    said = {"reading": [one.as_json() for one in reading]}
    head = {"vitascope": "study inductive-bias", "version": 1, "environment": environment()}
    write_json(folder / JSON, {**head, **study.as_json(), **said})
    with (folder / TABLE).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows(study.models))
    save_figure(draw_study(study.models), folder / FIGURE)
    (folder / README).write_text(_readme(study, reading), encoding="utf-8", errors="backslashreplace")
    return reading


def rows(models: Sequence[ModelResult]) -> Iterator[tuple[str, ...]]:
    """Every number with its place; layer and depth are empty where it is the whole model's."""
    for model in models:
        trained = str(model.trained).lower()
        for layer in model.layers:
            for measure, value in layer.values.items():
                if value is not None:
                    yield model.name, trained, layer.name, f"{layer.depth:.6g}", measure, f"{value:.6g}"
        for measure, value in model.whole.items():
            if value is not None:
                yield model.name, trained, "", "", measure, f"{value:.6g}"


def _readme(study: BiasStudy, reading: Sequence[Reading]) -> str:
    lines = [
        "# Inductive bias, layer by layer",
        "",
        f"Images: {study.pictures}. Settings and every number: {JSON}.",
        "",
    ]
    lines += [f"![Six panels]({FIGURE}.png)", "", "## What it says", ""]
    for one in reading:
        lines += [f"**{one.statement}** {one.verdict[0].upper()}{one.verdict[1:]}.", "", f"Rule: {one.rule}", ""]
        lines += [f"- {text}" for text in one.found]
        lines += [""] * bool(one.found)
    lines += ["## Models", "", *_models_table(study.models), ""]
    for model in study.models:
        lines += [f"## {_title(model)}", "", *_layers_table(model), ""]
    lines += ["## What is measured", "", _HOW, "", f"Names in {TABLE} and {JSON}:", ""]
    lines += [f"- `{name}`: {text}" for name, text in (OF_LAYERS | OF_MODELS).items()]
    lines += ["- `error_shift_N`, `shift_change_N`, `shift_kept_N`: error of a layer, change of the features, share of"]
    lines += ["  predictions kept, at a shift of N pixels"]
    return "\n".join(lines) + "\n"


_HOW = """A shift of N pixels is N pixels down and N to the right: two windows of one larger picture, so that no pixel
is invented. A layer whose cells are s pixels apart should shift by N/s cells; where that is no whole number, it is
compared with its map interpolated bilinearly, so that part of the error is the interpolation's. Only cells that
both windows show are compared, without the two outermost where there is room (of a layer by itself, without those
that its own padding changes). An equivariance error is a mean squared difference, divided by that of any two cells of
the layer over all places, images and windows: 0 is equivariant, 1 is as different as unrelated places, and more is
possible. Changes of features are likewise relative to those between different images. By itself a layer is given two
windows of its own input, so that it is not blamed for the layers before it.

A receptive field is the squared gradient of the centre cell of a layer, its channels weighted at random, by pixel.
GroupNorm's statistics tie each cell to all of the map; the box around what a cell depends on is found with them held
fixed, everything else with them as they are. Untrained models have official initial values, with which the units of
a hybrid's stem start as their shortcuts: a stem's boxes are then smaller than its kernels."""


def _models_table(models: Sequence[ModelResult]) -> list[str]:
    head = ["model", "kind", "image", "step", "features shifted", "cells shuffled", "predictions kept", "accuracy"]
    head += ["tokens reordered", "positions' correlation"]
    body = []
    for model in models:
        w = model.whole
        accuracy = "–" if w["accuracy"] is None else f"{_percent(w['accuracy'])} → {_percent(w['accuracy_shuffled'])}"
        numbers = [w[f"shift_change_{model.step}"], w["shuffle_change"]]
        cells = [_title(model), model.kind, f"{model.image_size[0]}×{model.image_size[1]}", str(model.step)]
        cells += [*map(_cell, numbers), _percent(w["shuffle_kept"]), accuracy, _cell(w["order_change"])]
        body.append([*cells, _cell(w.get("positions_correlation"))])
    return _table(head, body)


def _layers_table(model: ModelResult) -> list[str]:
    head = ["layer", "depth", "pixels per cell", "error", "error between cells", "error alone", "sees alone (cells)"]
    head += ["box (pixels)", "radius (pixels)", "90 % in", "attention distance (pixels)"]
    body = []
    for layer in model.layers:
        v = layer.values
        cells = [layer.name, f"{layer.depth:.2f}", str(layer.stride)]
        cells += [_cell(v[name]) for name in ("error_step", "error_between", "error_alone")]
        cells += [f"{v['alone_rows']}×{v['alone_columns']}", f"{v['field_rows']}×{v['field_columns']}"]
        body.append([*cells, _cell(v["field_radius"]), _percent(v["field_area_90"]), _cell(v.get("distance"))])
    return _table(head, body)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]


def _title(model: ModelResult) -> str:
    return f"{model.name}, {'trained' if model.trained else 'untrained'}"


def _cell(value: float | None) -> str:
    return "–" if value is None else "0" if abs(value) < 5e-5 else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
