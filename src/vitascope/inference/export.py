"""A model for runtimes without this package; kept only if it computes what the model does.

OUT/model.onnx, OUT/model.xml with model.bin, or OUT/model.pt2; what goes in and comes out is told in `contract.py`.
OUT/preprocessor.json, labels.json and export.json say what goes in, what comes out and how well it agrees.
`exported.py` opens such a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.json_file import dump_json
from vitascope.checkpoints.output import atomic_folder
from vitascope.checkpoints.store import PREPROCESSOR
from vitascope.data.source import Source
from vitascope.errors import ConfigError, ExportError, VitascopeError
from vitascope.inference.agreement import agreement, of_photographs
from vitascope.inference.contract import LOGITS, input_of
from vitascope.inference.engines import onnx
from vitascope.inference.engines.table import TOLERANCES
from vitascope.inference.engines.traced import Further
from vitascope.inference.exported import LABELS, RECORD, RUNTIMES, read_back
from vitascope.inference.format_names import (
    CALIBRATED,
    DROP,
    OPSET,
    PRECISIONS,
    SAMPLES,
    ExportPrecision,
    Form,
    FormatName,
)
from vitascope.inference.judge import Judge, drawn, prepared
from vitascope.inference.photograph import OPSETS
from vitascope.lock import LOCK
from vitascope.whole import sha256
from vitascope.wording import first_line

NONSENSE = 0.5
"""Difference of logits, as a share of the largest, that is more than rounding to 8 bits."""


def export(
    checkpoint: Checkpoint,
    out: Path,
    format: FormatName,
    *,
    precision: ExportPrecision = "float32",
    form: Form = "batch",
    further: Further | None = None,
    opset: int = OPSET,
    calibration: Source | None = None,
    samples: int = SAMPLES,
    tolerance: float | None = None,
    judge: Judge | None = None,
    drop: float = DROP,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes the folder `out` in a format and precision of `PRECISIONS` and returns what export.json holds.

    `form` is of the input, `further` what a graph of a photograph gives besides (`logits_and_rollout` of the views),
    `opset` of ONNX. int8 takes its ranges from `samples` images of `calibration`. Rounding to 8 bits moves logits
    beyond any small `tolerance` (None: of the precision), so that there as many others tell how often the label stays
    the same, and where the source's classes are the checkpoint's, what is right. A `judge` tells that of any export.

    Raises `ConfigError` (settings, the extra is absent), `CheckpointError` (`out` exists), `ExportError` when the
    export fails, differs from the model by more than `tolerance` or has an accuracy by more than `drop` points lower;
    then `out` is as it was.
    """
    if format not in RUNTIMES:
        raise ConfigError(f"format is {format}, expected one of {', '.join(RUNTIMES)}")
    runtime = RUNTIMES[format]
    if precision not in PRECISIONS[format]:
        raise ConfigError(f"{format} is written in {', '.join(PRECISIONS[format])}, not in {precision}")
    if opset not in OPSETS:
        raise ConfigError(f"opset is {opset}, expected {OPSETS[0]} to {OPSETS[-1]}")
    if tolerance is not None and not tolerance > 0:
        raise ConfigError(f"tolerance is {tolerance}, expected a number above 0")
    if format != "onnx" and (form == "image" or further):
        raise ConfigError(f"{format} takes batches and gives logits alone; choose --format onnx, or --input batch")
    if (precision == CALIBRATED) != (calibration is not None):
        raise ConfigError(f"images calibrate {CALIBRATED} and nothing else; give both or neither")
    runtime.library(precision)
    images, others = None, judge
    if calibration is not None:
        most = len(calibration) if judge else len(calibration) // 2
        if not 1 <= samples <= most:
            others_judge = "" if judge else f", half of the {len(calibration)} images: the others judge the result"
            raise ConfigError(f"samples is {samples}, expected 1 to {most} of {calibration.name}{others_judge}")
        positions = drawn(calibration)
        images = prepared(checkpoint, calibration, positions[:samples])
        others = judge or Judge(checkpoint, calibration, positions[samples : 2 * samples])
    with atomic_folder(out, what="export", overwrite=overwrite) as folder:
        path = folder / runtime.FILES[0]
        said: dict[str, Any] = {"precision": precision}
        try:
            if format == "onnx":
                said["opset"] = opset
                onnx.write(checkpoint, path, precision, images, opset=opset, form=form, further=further)
            else:
                runtime.write(checkpoint, path, precision, images)
            engine = read_back(folder, format, checkpoint.preprocess, precision, form)
            said |= agreement(engine, checkpoint, tolerance or {**TOLERANCES, CALIBRATED: NONSENSE}[precision])
            if calibration is not None:
                said["calibration"] = {"data": calibration.name, "images": samples}
            if form == "image":
                said["photographs"] = of_photographs(checkpoint.preprocess)
            if others is not None:
                said |= others.of(engine)
            if judge is not None:
                said["judged"] = judge.source.name
                _refuse_worse(said, drop)
        except VitascopeError:
            raise
        except Exception as error:
            raise ExportError(f"the model cannot be exported to {format}: {first_line(error)}") from error
        return _described(checkpoint, folder, {"format": format, "input": input_of(checkpoint.preprocess, form)}, said)


def _refuse_worse(said: dict[str, Any], drop: float) -> None:
    if "top1" not in said:
        return
    before, after = (100 * said["top1"][name] for name in ("before", "after"))
    if before - after > drop + 1e-9:
        raise ExportError(
            f"of {said['judged_on']:,} images {before:.1f} % were right before and {after:.1f} % after the export, a "
            f"drop of more than {drop:g} points; nothing was written"
        )


def _described(checkpoint: Checkpoint, folder: Path, taken: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Writes what lies beside the model; what export.json holds."""
    record = {
        **taken,
        "output": {"name": LOGITS, "type": "float32", "shape": ["batch", len(checkpoint.labels) or "features"]},
        "activation": checkpoint.activation,
        **({} if checkpoint.sets is None else {"sets": checkpoint.sets.as_json()}),
        **({} if checkpoint.shown is None else {"shown": checkpoint.shown.write(folder)}),
        **said,
        "torch": torch.__version__,
    }
    (folder / PREPROCESSOR).write_bytes(dump_json(checkpoint.preprocess.to_dict()))
    (folder / LABELS).write_bytes(dump_json(checkpoint.labels))
    record["sha256"] = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != LOCK}
    (folder / RECORD).write_bytes(dump_json(record))
    return record
