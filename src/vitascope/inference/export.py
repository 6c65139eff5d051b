"""A model for runtimes without PyTorch, as ONNX or as OpenVINO's files; kept only if it computes what the model does.

OUT/model.onnx, or OUT/model.xml with model.bin, takes `images`, float32 (B, C, H, W) as preprocessing makes them, for
any B at the checkpoint's size, and gives `logits` (B, K), or features where the model has no head.
OUT/preprocessor.json, labels.json and export.json say what goes in, what comes out and how well it agrees.
`exported.py` opens such a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.json_file import dump_json
from vitascope.checkpoints.output import atomic_folder
from vitascope.checkpoints.store import PREPROCESSOR
from vitascope.data.source import Source
from vitascope.errors import ConfigError, ExportError, VitascopeError
from vitascope.inference import quantise
from vitascope.inference.engines import onnx, openvino
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.engines.table import TOLERANCES, difference
from vitascope.inference.exported import LABELS, RECORD, sha256
from vitascope.wording import first_line

OPSETS = range(18, 24)
"""Versions of the ONNX operators that PyTorch's exporter writes."""
TOLERANCE = TOLERANCES["float32"]
BATCHES = (1, 2, 5)
"""Batches on which the export is compared."""


def export_onnx(
    checkpoint: Checkpoint,
    out: Path,
    *,
    opset: int = onnx.OPSET,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes the folder `out` and returns what export.json holds.

    Raises `ConfigError` (settings, the extra is absent), `CheckpointError` (`out` exists), `ExportError` when the
    export fails or differs from the model by more than `tolerance`; then `out` is as it was.
    """
    if opset not in OPSETS:
        raise ConfigError(f"opset is {opset}, expected {OPSETS[0]} to {OPSETS[-1]}")
    onnx.library()

    def write(path: Path) -> dict[str, Any]:
        onnx.write(checkpoint, path, opset)
        return {"opset": opset, **_agreement(checkpoint, onnx.read(path), tolerance)}

    return _exported(checkpoint, out, "onnx", onnx.FILES[0], write, tolerance, overwrite)


def export_openvino(
    checkpoint: Checkpoint,
    out: Path,
    *,
    calibration: Source | None = None,
    samples: int = 300,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
) -> dict[str, Any]:
    """As `export_onnx`; with `calibration` quantised to int8 by `samples` of its images.

    Rounding to 8 bits moves logits beyond any small tolerance, so that instead as many other images of `calibration`
    tell how often the label stays the same, and where the source's classes are the checkpoint's, what is right.
    """
    ov = openvino.library()
    if calibration is not None:
        quantise.library()
        if not 1 <= samples <= len(calibration) // 2:
            raise ConfigError(
                f"samples is {samples}, expected 1 to {len(calibration) // 2}, half of the {len(calibration)} images "
                f"of {calibration.name}: the others judge the result"
            )

    def write(path: Path) -> dict[str, Any]:
        model = openvino.convert(checkpoint)
        if calibration is not None:
            model = quantise.quantised(model, checkpoint, calibration, samples)
        ov.save_model(model, path, compress_to_fp16=False)
        engine = openvino.read(path)
        if calibration is not None:
            return {"precision": "int8", **quantise.judged(engine, checkpoint, calibration, samples)}
        return {"precision": "float32", **_agreement(checkpoint, engine, tolerance)}

    return _exported(checkpoint, out, "openvino", openvino.FILES[0], write, tolerance, overwrite)


def _agreement(checkpoint: Checkpoint, engine: Engine, tolerance: float) -> dict[str, Any]:
    differences = {str(batch): difference(engine, checkpoint, batch) for batch in BATCHES}
    if not np.isfinite(list(differences.values())).all():
        raise ExportError("the model's outputs are not finite (NaN or infinity); nothing was written")
    if not (worst := max(differences.values())) <= tolerance:
        raise ExportError(
            f"the export differs from the model by {worst:.2g} of the largest logit, tolerance {tolerance:.2g}; "
            "nothing was written"
        )
    return {"tolerance": tolerance, "differences": differences}


def _exported(
    checkpoint: Checkpoint,
    out: Path,
    format: str,
    name: str,
    write: Callable[[Path], dict[str, Any]],
    tolerance: float,
    overwrite: bool,
) -> dict[str, Any]:
    if not tolerance > 0:
        raise ConfigError(f"tolerance is {tolerance}, expected a number above 0")
    preprocess, labels = checkpoint.preprocess, checkpoint.labels
    with atomic_folder(out, what="export", overwrite=overwrite) as folder:
        try:
            said = write(folder / name)
        except VitascopeError:
            raise
        except Exception as error:
            raise ExportError(f"the model cannot be exported to {format}: {first_line(error)}") from error
        shape = ["batch", preprocess.channels, *preprocess.size]
        record = {
            "format": format,
            "input": {"name": "images", "type": "float32", "shape": shape},
            "output": {"name": "logits", "type": "float32", "shape": ["batch", len(labels) or "features"]},
            "activation": checkpoint.activation,
            **({} if checkpoint.shown is None else {"shown": checkpoint.shown.write(folder)}),
            **said,
            "torch": torch.__version__,
        }
        (folder / PREPROCESSOR).write_bytes(dump_json(preprocess.to_dict()))
        (folder / LABELS).write_bytes(dump_json(labels))
        record["sha256"] = {path.name: sha256(path) for path in sorted(folder.iterdir())}
        (folder / RECORD).write_bytes(dump_json(record))
    return record
