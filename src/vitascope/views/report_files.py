"""A report as files: every figure as PNG and SVG, every number as CSV, and report.json with its schema.

FOLDER/report.json, report.schema.json, figures/*.png|svg, tables/*.csv, and for each image that was looked at wholly
images/01-NAME/*.png|svg. Layers, heads, rows and columns count from 1 in tables, as in figures.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitascope.checkpoints.answer import as_objects
from vitascope.views.attention_maps import draw_attention, draw_class_attention
from vitascope.views.attention_rollout import draw_rollout
from vitascope.views.attention_share import draw_share
from vitascope.views.distance import draw_distance
from vitascope.views.drawing import save_figure
from vitascope.views.filters import draw_filters
from vitascope.views.lens import draw_lens
from vitascope.views.look import Look
from vitascope.views.norms import draw_norms
from vitascope.views.positions import draw_similarity
from vitascope.views.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JSON, SCHEMA = "report.json", "report.schema.json"


def write_report(report: Report, folder: Path) -> None:
    """Writes everything below `folder`, which is made; what is in it already is not looked at."""
    places = [f"images/{n:02d}-{_file_name(name)}" for n, (name, _) in enumerate(report.looks, start=1)]
    scope, similarity = report.scope, report.scope.similarity
    _save(
        folder / "figures",
        filters=draw_filters(scope.filters),
        position_similarity=None if similarity is None else draw_similarity(similarity),
        attention_distance=draw_distance(report.distance, scope.uniform_distance),
        attended_share=draw_share(report.share),
    )
    for place, (_, look) in zip(places, report.looks, strict=True):
        c, last = look.config, look.config.depth - 1
        _save(
            folder / place,
            rollout=draw_rollout(look.rollout, look.image),
            class_attention=draw_class_attention(look.class_maps),
            attention_first_layer=draw_attention(look.attention(0), look.grid, _middle(look), prefix=c.prefix, layer=0),
            attention_last_layer=draw_attention(
                look.attention(last), look.grid, _middle(look), prefix=c.prefix, layer=last
            ),
            token_norms=draw_norms(look.norms, look.grid, prefix=c.prefix, class_token=c.class_token),
            logit_lens=draw_lens(look.lens) if look.lens else None,
        )
    _write_tables(report, folder / "tables")
    text = json.dumps(as_json(report, places), indent=1, ensure_ascii=False)
    # A file's name may be no UTF-8; what replaces its odd bytes is JSON's own spelling of them.
    (folder / JSON).write_text(text, encoding="utf-8", errors="backslashreplace")
    (folder / SCHEMA).write_text(files("vitascope.views").joinpath(SCHEMA).read_text(encoding="utf-8"))


def as_json(report: Report, places: Sequence[str]) -> dict[str, Any]:
    """What report.json holds (report.schema.json describes it); `places` are the looks' folders."""
    scope, c = report.scope, report.scope.config
    return {
        "vitascope": "inspect",
        "version": 1,
        "model": {
            "name": report.name,
            "architecture": scope.name,
            "parameters": scope.parameters,
            "layers": c.depth,
            "heads": c.heads,
            "prefix": c.prefix,
            "class_token": c.class_token,
            "reads_class_token": c.reads_class_token,
            "labels": c.classes,
            "image_size": list(scope.image_size),
            "grid": list(scope.grid),
            "pixels_per_token": [c.pixels_per_token] * 2,
            "uniform_distance_pixels": scope.uniform_distance,
        },
        "positions": None if scope.locality is None else scope.locality.as_json(),
        "images": report.images,
        "unreadable": [{"name": name, "error": error} for name, error in report.unreadable],
        "attention_distance_pixels": report.distance.tolist(),
        "attended_share": report.share.tolist(),
        "token_norms": report.norms.tolist(),
        "looks": [
            {
                "name": name,
                "folder": place,
                "predictions": as_objects(look.predictions),
                "lens": [as_objects(layer) for layer in look.lens],
                "attention_distance_pixels": look.distance.tolist(),
                "attended_share": look.share.tolist(),
                "rollout": look.rollout.tolist(),
            }
            for place, (name, look) in zip(places, report.looks, strict=True)
        ],
    }


def _save(folder: Path, **figures: Figure | None) -> None:
    folder.mkdir(parents=True)
    for name, drawing in figures.items():
        if drawing is not None:
            save_figure(drawing, folder / name)


def _middle(look: Look) -> tuple[int, int]:
    """The patch whose attention is drawn and written head by head."""
    return look.grid[0] // 2, look.grid[1] // 2


def _of_middle_patch(look: Look, layer: int) -> np.ndarray:
    """Its attention to all patches, (h, r, c)."""
    (row, column), prefix = _middle(look), look.config.prefix
    weights = look.attention(layer)[:, prefix + row * look.grid[1] + column, prefix:]
    return weights.reshape(-1, *look.grid)


def _write_tables(report: Report, folder: Path) -> None:
    looks, last = [look for _, look in report.looks], report.scope.config.depth - 1

    def write(name: str, axes: str, columns: str, values: np.ndarray | list[np.ndarray]) -> None:
        """A line per place along the `axes`; a further axis are the columns."""
        numbers, names = np.asarray(values), axes.split()
        places = np.ndindex(*numbers.shape[: len(names)])
        rows = ((*(n + 1 for n in at), *(f"{v:.6g}" for v in np.atleast_1d(numbers[at]))) for at in places)
        _write_csv(folder / f"{name}.csv", [*names, *columns.split()], rows)

    folder.mkdir()
    write("heads", "layer head", "distance_pixels attended_share", np.stack([report.distance, report.share], axis=-1))
    write("mean_token_norms", "layer token", "norm", report.norms)
    write("filters", "component y x channel", "value", report.scope.filters)
    if report.scope.similarity is not None:
        write("position_similarity", "row column other_row other_column", "cosine", report.scope.similarity)
    write("token_norms", "image layer token", "norm", [look.norms for look in looks])
    write("rollout", "image row column", "value", [look.rollout for look in looks])
    write("class_attention", "image layer head row column", "weight", [look.class_maps for look in looks])
    for name, layer in (("first", 0), ("last", last)):
        asked = [_of_middle_patch(look, layer) for look in looks]
        write(f"attention_{name}_layer", "image head row column", "weight", asked)
    lens = (
        (image, layer, rank, label, index, f"{p:.6g}")
        for image, look in enumerate(looks, start=1)
        for layer, best in enumerate(look.lens, start=1)
        for rank, (label, index, p) in enumerate(best, start=1)
    )
    _write_csv(folder / "logit_lens.csv", ["image", "layer", "rank", "label", "index", "probability"], lens)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _file_name(name: str) -> str:
    """Letters, digits, dots and dashes of a file's own name, at most 60: safe on every system."""
    return re.sub(r"[^\w.-]+", "-", Path(name).stem)[:60].strip(".-") or "image"
