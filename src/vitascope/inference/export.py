"""A model as ONNX, for runtimes without PyTorch; kept only if it computes what the model does.

OUT/model.onnx takes `images`, float32 (B, C, H, W) as preprocessing makes them, for any B at the checkpoint's size, and
gives `logits` (B, K), or features where the model has no head. OUT/preprocessor.json, labels.json and export.json say
what goes in, what comes out and how well it agrees.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.atomic import atomic_folder
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.store import PREPROCESSOR
from vitascope.errors import ConfigError, ExportError, VitascopeError

MODEL, LABELS, RECORD = "model.onnx", "labels.json", "export.json"
OPSETS = range(18, 24)
"""Versions of the ONNX operators that PyTorch's exporter writes."""
TOLERANCE = 1e-4
"""Largest difference to the model that is accepted, as a share of the largest logit (at least 1)."""
BATCHES = (1, 2, 5)
"""Batches on which the export is compared."""
_ONE_FILE = 1_800_000_000  # bytes of weights; ONNX files end at 2 GiB, beyond it weights lie beside them


def export_onnx(
    checkpoint: Checkpoint,
    out: Path,
    *,
    opset: int = 18,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes the folder `out` and returns what export.json holds.

    Raises `ConfigError` (settings, the extra is absent), `CheckpointError` (`out` exists), `ExportError` when the
    export fails or differs from the model by more than `tolerance`; then `out` is as it was.
    """
    if opset not in OPSETS:
        raise ConfigError(f"opset is {opset}, expected {OPSETS[0]} to {OPSETS[-1]}")
    if not tolerance > 0:
        raise ConfigError(f"tolerance is {tolerance}, expected a number above 0")
    _need_extra()
    preprocess = checkpoint.preprocess
    shape = (preprocess.channels, *preprocess.size)
    with atomic_folder(out, overwrite=overwrite) as folder:
        try:
            with _quiet():
                _write(checkpoint, shape, opset, folder / MODEL)
                differences = _differences(checkpoint, shape, folder / MODEL)
        except VitascopeError:
            raise
        except Exception as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise ExportError(f"the model cannot be exported with opset {opset}: {why}") from error
        worst = max(differences.values())
        if not worst <= tolerance:
            raise ExportError(
                f"the export differs from the model by {worst:.2g} of the largest logit, tolerance {tolerance:.2g}; "
                "nothing was written"
            )
        record = {
            "format": "onnx",
            "opset": opset,
            "input": {"name": "images", "type": "float32", "shape": ["batch", *shape]},
            "output": {"name": "logits", "type": "float32", "shape": ["batch", len(checkpoint.labels) or "features"]},
            "tolerance": tolerance,
            "differences": {str(batch): value for batch, value in differences.items()},
            "torch": torch.__version__,
        }
        for name, value in ((PREPROCESSOR, preprocess.to_dict()), (LABELS, checkpoint.labels), (RECORD, record)):
            (folder / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


def _need_extra() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except Exception as error:  # absent, or broken
        raise ConfigError(f'exporting needs ONNX and its runtime ({error}); pip install "vitascope[onnx]"') from error


def _write(checkpoint: Checkpoint, shape: tuple[int, ...], opset: int, path: Path) -> None:
    # Two images: the exporter takes a batch of 1 for a constant.
    images = torch.zeros(2, *shape)
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        checkpoint.model.eval(),
        (images,),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: batch},),
        opset_version=opset,
        verbose=False,
    )
    assert program is not None
    weights = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters())
    program.save(str(path), external_data=weights > _ONE_FILE)


@torch.no_grad()
def _differences(checkpoint: Checkpoint, shape: tuple[int, ...], path: Path) -> dict[int, float]:
    """For each of `BATCHES`, the largest difference on drawn images over the largest logit, or over 1."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    result = {}
    for batch in BATCHES:
        images = torch.rand(batch, *shape, generator=generator) * 2 - 1
        expected = checkpoint.model(images).numpy()
        received = np.asarray(session.run(None, {"images": images.numpy()})[0])
        if received.shape != expected.shape:
            raise ExportError(f"the export gives {received.shape} for a batch of {batch}, expected {expected.shape}")
        result[batch] = float(np.abs(received - expected).max() / max(np.abs(expected).max(), 1.0))
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's notes on its own future are not the user's business."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
