"""A model for runtimes without PyTorch, as ONNX or as OpenVINO's files; kept only if it computes what the model does.

OUT/model.onnx, or OUT/model.xml with model.bin; what goes in and comes out is told in `contract.py`.
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
from vitascope.inference import quantise
from vitascope.inference.agreement import agreement, of_photographs
from vitascope.inference.contract import LOGITS, Form, input_of
from vitascope.inference.engines import onnx, openvino
from vitascope.inference.engines.table import TOLERANCES
from vitascope.inference.engines.traced import Further
from vitascope.inference.exported import LABELS, RECORD, RUNTIMES
from vitascope.inference.photograph import OPSETS
from vitascope.lock import LOCK
from vitascope.whole import sha256
from vitascope.wording import first_line

TOLERANCE = TOLERANCES["float32"]


def export(
    checkpoint: Checkpoint,
    out: Path,
    format: str,
    *,
    form: Form = "batch",
    further: Further | None = None,
    opset: int = onnx.OPSET,
    calibration: Source | None = None,
    samples: int = 300,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes the folder `out` in a format of `RUNTIMES` and returns what export.json holds; `opset` is of ONNX.

    `form` is of the input, `further` what a graph of a photograph gives besides (`rollout_in_graph` of the views).

    With `calibration` OpenVINO's model is quantised to int8 by `samples` of its images. Rounding to 8 bits moves logits
    beyond any small tolerance, so that instead as many others tell how often the label stays the same, and where the
    source's classes are the checkpoint's, what is right.

    Raises `ConfigError` (settings, the extra is absent), `CheckpointError` (`out` exists), `ExportError` when the
    export fails or differs from the model by more than `tolerance`; then `out` is as it was.
    """
    if opset not in OPSETS:
        raise ConfigError(f"opset is {opset}, expected {OPSETS[0]} to {OPSETS[-1]}")
    if not tolerance > 0:
        raise ConfigError(f"tolerance is {tolerance}, expected a number above 0")
    if format != "onnx" and (form == "image" or further):
        raise ConfigError(f"{format} takes batches and gives logits alone; choose --format onnx, or --input batch")
    runtime = RUNTIMES[format]
    runtime.library()
    if calibration is not None:
        quantise.library()
        if not 1 <= samples <= len(calibration) // 2:
            raise ConfigError(
                f"samples is {samples}, expected 1 to {len(calibration) // 2}, half of the {len(calibration)} images "
                f"of {calibration.name}: the others judge the result"
            )
    preprocess, labels = checkpoint.preprocess, checkpoint.labels
    with atomic_folder(out, what="export", overwrite=overwrite) as folder:
        path = folder / runtime.FILES[0]
        said: dict[str, Any] = {"opset": opset} if format == "onnx" else {"precision": "float32"}
        try:
            if format == "onnx":
                onnx.write(checkpoint, path, opset, form=form, further=further)
            else:
                model = openvino.convert(checkpoint)
                if calibration is not None:
                    model = quantise.quantised(model, checkpoint, calibration, samples)
                openvino.write(model, path)
            if calibration is not None:
                said = {"precision": "int8", **quantise.judged(runtime.read(path), checkpoint, calibration, samples)}
            else:
                read = runtime.read(path) if form == "batch" else onnx.read_photographs(path, preprocess)
                said |= agreement(read, checkpoint, tolerance)
                if form == "image":
                    said["photographs"] = of_photographs(preprocess)
        except VitascopeError:
            raise
        except Exception as error:
            raise ExportError(f"the model cannot be exported to {format}: {first_line(error)}") from error
        record = {
            "format": format,
            "input": input_of(preprocess, form),
            "output": {"name": LOGITS, "type": "float32", "shape": ["batch", len(labels) or "features"]},
            "activation": checkpoint.activation,
            **({} if checkpoint.sets is None else {"sets": checkpoint.sets.as_json()}),
            **({} if checkpoint.shown is None else {"shown": checkpoint.shown.write(folder)}),
            **said,
            "torch": torch.__version__,
        }
        (folder / PREPROCESSOR).write_bytes(dump_json(preprocess.to_dict()))
        (folder / LABELS).write_bytes(dump_json(labels))
        record["sha256"] = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != LOCK}
        (folder / RECORD).write_bytes(dump_json(record))
    return record
