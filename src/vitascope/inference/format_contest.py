"""All formats that can be made here on the same images: labels that stay, time, size, and which to take.

Times are taken in turns, each round beginning with another, so that what else the machine does meets all of them.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.json_file import dump_json
from vitascope.checkpoints.output import atomic_folder
from vitascope.data.source import Source
from vitascope.errors import ExportError, VitascopeError
from vitascope.inference.engines.pytorch import Engine, eager
from vitascope.inference.export import export
from vitascope.inference.exported import RUNTIMES, read_back
from vitascope.inference.format_names import CALIBRATED, DROP, PRECISIONS, SAMPLES, ExportPrecision, FormatName
from vitascope.inference.judge import Judge
from vitascope.precision import processor

THROUGHPUT = 16
"""Images of the larger batch that is timed."""
ROUNDS = 9
SAME = 0.05
"""Share of its time by which a format must be faster to be taken before a smaller one."""
TABLE = "formats.json"
MODEL = "the model itself"
_JUDGED = ("same_label", "top1")


def candidates() -> Iterator[tuple[FormatName, ExportPrecision]]:
    """Formats with a runtime, in each precision."""
    return ((name, precision) for name in RUNTIMES for precision in PRECISIONS[name])


def contest(
    checkpoint: Checkpoint,
    out: Path,
    judge: Judge,
    calibration: Source,
    *,
    samples: int = SAMPLES,
    drop: float = DROP,
    overwrite: bool = False,
    each: Callable[[str], object] = str,
) -> dict[str, Any]:
    """Makes every format for batches, keeps in `out` the one to take, and returns what formats.json beside it holds.

    What cannot be made says why. Raises `ExportError` where nothing can, and what `export` raises of `out`.
    """
    with atomic_folder(out, what="export", overwrite=overwrite) as folder:
        engines: dict[str, Engine] = {MODEL: eager(checkpoint, torch.device("cpu"), "float32", THROUGHPUT)}
        weights = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters())
        own = judge.of(engines[MODEL])
        rows = [{"name": MODEL, **{key: own[key] for key in _JUDGED if key in own}, "megabytes": weights / 1e6}]
        for format, precision in candidates():
            name, place = f"{format} {precision}", folder / f"{format}-{precision}"
            each(name)
            row: dict[str, Any] = {"name": name, "format": format, "precision": precision}
            try:
                calibrated: dict[str, Any] = (
                    {"calibration": calibration, "samples": samples} if precision == CALIBRATED else {}
                )
                record = export(checkpoint, place, format, precision=precision, judge=judge, drop=100, **calibrated)
                engines[name] = read_back(place, format, checkpoint.preprocess, precision, "batch")
                row |= {key: record[key] for key in _JUDGED if key in record}
                row["megabytes"] = sum((place / file).stat().st_size for file in record["sha256"]) / 1e6
            except VitascopeError as error:
                row["failed"] = str(error)
            rows.append(row)
        each("times")
        times = _times(engines, judge)
        for row in rows:
            row |= times.get(row["name"], {})
        taken = choose(rows, drop)
        table = {
            "data": judge.source.name,
            "images": len(judge.positions),
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "throughput_batch": THROUGHPUT,
            "drop": drop,
            "take": taken,
            "formats": rows,
        }
        for place in [path for path in folder.iterdir() if path.is_dir()]:
            if place.name == taken.replace(" ", "-"):
                for file in place.iterdir():
                    file.rename(folder / file.name)
            shutil.rmtree(place)
        (folder / TABLE).write_bytes(dump_json(table))
    return table


def choose(rows: list[dict[str, Any]], drop: float) -> str:
    """The name of the fastest at one image, or of the smallest among those that are as fast; of .pt2 none, which needs
    PyTorch as the model itself does. Raises `ExportError`."""
    fit = [
        row
        for row in rows
        if row.get("format") not in (None, "pt2") and "failed" not in row and _loss(row) <= drop + 1e-9
    ]
    if not fit:
        why = "; ".join(f"{row['name']}: {row['failed']}" for row in rows if "failed" in row)
        raise ExportError(
            f"no format can be made here that loses no more than {drop:g} points ({why or 'all lose more'})"
        )
    fastest = min(row["milliseconds"] for row in fit)
    as_fast = [row for row in fit if row["milliseconds"] * (1 - SAME) <= fastest]
    return str(min(as_fast, key=lambda row: row["megabytes"])["name"])


def _loss(row: dict[str, Any]) -> float:
    """Points of accuracy, or of labels that changed where nobody knows the right ones."""
    top1 = row.get("top1")
    return 100 * (top1["before"] - top1["after"] if top1 else 1 - row["same_label"])


def _times(engines: dict[str, Engine], judge: Judge) -> dict[str, dict[str, float]]:
    """Of each, milliseconds of one image and images a second of a batch: medians over rounds in turns."""
    found: dict[str, dict[str, float]] = {name: {} for name in engines}
    for size in (1, THROUGHPUT):
        images, names = judge.batch(size), list(engines)
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for turn in range(-1, ROUNDS):  # the first warms up
            for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
                start = time.perf_counter()
                engines[name](images)
                if turn >= 0:
                    seconds[name].append(time.perf_counter() - start)
        for name, times in seconds.items():
            middle = statistics.median(times)
            found[name] |= {"milliseconds": 1000 * middle} if size == 1 else {"images_per_second": size / middle}
    return found
