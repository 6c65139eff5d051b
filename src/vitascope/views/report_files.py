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
from typing import Any

import numpy as np

from vitascope.checkpoints.checkpoint import Prediction
from vitascope.views.attention_maps import draw_attention, draw_class_attention
from vitascope.views.attention_rollout import draw_rollout
from vitascope.views.attention_share import draw_share
from vitascope.views.distance import draw_distance
from vitascope.views.drawing import save_figure
from vitascope.views.filters import draw_filters
from vitascope.views.lens import draw_lens
from vitascope.views.look import Look, Scope
from vitascope.views.norms import draw_norms
from vitascope.views.positions import draw_similarity
from vitascope.views.report import Report

JSON, SCHEMA = "report.json", "report.schema.json"


def write_report(report: Report, folder: Path) -> None:
    """Writes everything below `folder`, which is made; what is in it already is not looked at."""
    for name in ("figures", "tables", "images"):
        (folder / name).mkdir(parents=True)
    _write_figures(report, folder / "figures")
    _write_tables(report, folder / "tables")
    places = [f"{n:02d}-{_file_name(name)}" for n, (name, _) in enumerate(report.looks, start=1)]
    for place, (_, look) in zip(places, report.looks, strict=True):
        _write_look(look, folder / "images" / place)
    text = json.dumps(as_json(report, places), indent=1, ensure_ascii=False)
    # A file's name may be no UTF-8; what replaces its odd bytes is JSON's own spelling of them.
    (folder / JSON).write_text(text, encoding="utf-8", errors="backslashreplace")
    (folder / SCHEMA).write_text(files("vitascope.views").joinpath(SCHEMA).read_text(encoding="utf-8"))


def as_json(report: Report, places: Sequence[str]) -> dict[str, Any]:
    """What report.json holds (report.schema.json describes it); `places` are the looks' folders."""
    scope = report.scope
    return {
        "vitascope": "inspect",
        "version": 1,
        "model": {"name": report.name, **_plain(scope)},
        "positions": None if scope.locality is None else scope.locality.as_json(),
        "images": report.images,
        "unreadable": [{"name": name, "error": error} for name, error in report.unreadable],
        "attention_distance_pixels": report.distance.tolist(),
        "attended_share": report.share.tolist(),
        "token_norms": report.norms.tolist(),
        "looks": [
            {
                "name": name,
                "folder": f"images/{place}",
                "predictions": _labels(look.predictions),
                "lens": [_labels(layer) for layer in look.lens],
                "attention_distance_pixels": look.distance.tolist(),
                "attended_share": look.share.tolist(),
                "rollout": look.rollout.tolist(),
            }
            for place, (name, look) in zip(places, report.looks, strict=True)
        ],
    }


def _plain(scope: Scope) -> dict[str, Any]:
    names = ("parameters", "layers", "heads", "prefix", "class_token", "reads_class_token", "labels")
    return {
        "architecture": scope.name,
        **{name: getattr(scope, name) for name in names},
        "image_size": list(scope.image_size),
        "grid": list(scope.grid),
        "pixels_per_token": list(scope.pixels_per_token),
        "uniform_distance_pixels": scope.uniform_distance,
    }


def _labels(predictions: Iterable[Prediction]) -> list[dict[str, Any]]:
    return [{"label": label, "index": index, "probability": p} for label, index, p in predictions]


def _write_figures(report: Report, folder: Path) -> None:
    scope = report.scope
    save_figure(draw_filters(scope.filters), folder / "filters")
    if scope.similarity is not None:
        save_figure(draw_similarity(scope.similarity), folder / "position_similarity")
    save_figure(draw_distance(report.distance, scope.uniform_distance), folder / "attention_distance")
    save_figure(draw_share(report.share), folder / "attended_share")


def _write_look(look: Look, folder: Path) -> None:
    folder.mkdir()
    save_figure(draw_rollout(look.image, look.rollout), folder / "rollout")
    save_figure(draw_class_attention(look.class_maps), folder / "class_attention")
    for name, layer in _ends(look):
        drawing = draw_attention(look.attention(layer), look.grid, _middle(look), prefix=look.prefix, layer=layer)
        save_figure(drawing, folder / f"attention_{name}_layer")
    save_figure(
        draw_norms(look.norms, look.grid, prefix=look.prefix, class_token=look.class_token), folder / "token_norms"
    )
    if look.lens:
        save_figure(draw_lens(look.lens), folder / "logit_lens")


def _ends(look: Look) -> tuple[tuple[str, int], ...]:
    return ("first", 0), ("last", len(look.class_maps) - 1)


def _middle(look: Look) -> tuple[int, int]:
    return look.grid[0] // 2, look.grid[1] // 2


def _of_middle_patch(look: Look, layer: int) -> np.ndarray:
    """Attention of the patch that the figures ask about to all patches, (h, r, c)."""
    row, column = _middle(look)
    weights = look.attention(layer)[:, look.prefix + row * look.grid[1] + column, look.prefix :]
    return weights.reshape(-1, *look.grid)


def _write_tables(report: Report, folder: Path) -> None:
    scope, looks = report.scope, report.looks
    heads = np.stack([report.distance, report.share], axis=-1)
    _table(folder / "heads.csv", ("layer", "head"), heads, ("distance_pixels", "attended_share"))
    _table(folder / "mean_token_norms.csv", ("layer", "token"), report.norms[..., None], ("norm",))
    norms = np.stack([look.norms for _, look in looks])
    _table(folder / "token_norms.csv", ("image", "layer", "token"), norms[..., None], ("norm",))
    _table(folder / "filters.csv", ("component", "y", "x", "channel"), scope.filters[..., None], ("value",))
    if scope.similarity is not None:
        names = ("row", "column", "other_row", "other_column")
        _table(folder / "position_similarity.csv", names, scope.similarity[..., None], ("cosine",))
    rollouts, maps = (np.stack([getattr(look, name) for _, look in looks]) for name in ("rollout", "class_maps"))
    _table(folder / "rollout.csv", ("image", "row", "column"), rollouts[..., None], ("value",))
    _table(folder / "class_attention.csv", ("image", "layer", "head", "row", "column"), maps[..., None], ("weight",))
    for name, layer in _ends(looks[0][1]):
        asked = np.stack([_of_middle_patch(look, layer) for _, look in looks])
        axes = ("image", "head", "row", "column")
        _table(folder / f"attention_{name}_layer.csv", axes, asked[..., None], ("weight",))
    with (folder / "logit_lens.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "layer", "rank", "label", "index", "probability"))
        for image, (_, look) in enumerate(looks, start=1):
            for layer, best in enumerate(look.lens, start=1):
                for rank, (label, index, p) in enumerate(best, start=1):
                    writer.writerow((image, layer, rank, label, index, f"{p:.6g}"))


def _table(path: Path, axes: Sequence[str], values: np.ndarray, columns: Sequence[str]) -> None:
    """One line per place in all but the last axis, which are the `columns`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*axes, *columns))
        for place in np.ndindex(*values.shape[:-1]):
            writer.writerow((*(n + 1 for n in place), *(f"{v:.6g}" for v in values[place])))


def _file_name(name: str) -> str:
    """Letters, digits, dots and dashes of a file's own name, at most 60: safe on every system."""
    return re.sub(r"[^\w.-]+", "-", Path(name).stem)[:60].strip(".-") or "image"
