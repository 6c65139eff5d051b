"""Whether an export computes what the model does, on real photographs, before it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import UInt8, read_image
from vitascope.data.preprocess import Preprocess, to_tensor
from vitascope.data.sample_photographs import NAMES, sample_photograph
from vitascope.errors import ExportError
from vitascope.inference.contract import IMAGE
from vitascope.inference.engines import onnx
from vitascope.inference.engines.pytorch import Engine
from vitascope.inference.engines.table import apart
from vitascope.inference.photograph import preparation

BATCHES = (1, 2, 7)
"""Batches on which an export is compared."""
LEVELS, NEAREST = 0.5, 4.0
"""Largest mean difference of pixels, in levels of 255: some are rounded to the level beside; another filter, or none
before reducing, is levels away. "nearest" takes another pixel where rounding decides between two."""
_PARTS = (
    (0, 427, 0, 640),
    (0, 427, 100, 640),
    (3, 400, 200, 301),
    (100, 131, 100, 637),
    (50, 67, 60, 83),
    (0, 426, 1, 426),
    (200, 424, 300, 524),
)  # rows, then columns, of the one and the other


def pieces(channels: int = 3) -> list[UInt8]:
    """Seven parts of two photographs, large and small, wide and high, uint8 (H, W, 3), or of more channels."""
    pictures = [read_image(sample_photograph(name)) for name in NAMES]
    found = [pictures[i % 2][a:b, c:d] for i, (a, b, c, d) in enumerate(_PARTS)]
    if channels not in (1, 3):
        found = [piece[:, :, np.arange(channels) % 3] for piece in found]
    return [np.ascontiguousarray(piece) for piece in found]


def agreement(engine: Engine, checkpoint: Checkpoint, tolerance: float) -> dict[str, Any]:
    """Differences of logits by batch, as shares of the largest; raises `ExportError` beyond `tolerance`."""
    preprocess = checkpoint.preprocess
    images = preprocess.normalise(to_tensor([preprocess.pixels(p) for p in pieces(preprocess.channels)]))
    differences = {str(batch): apart(engine, checkpoint, images[:batch]) for batch in BATCHES}
    _refuse(differences.values(), tolerance)
    return {"tolerance": tolerance, "differences": differences}


def of_photographs(preprocess: Preprocess) -> dict[str, float]:
    """By how many levels of 255 pixels differ, on average, that a graph resizes itself, of photographs by size.

    Raises `ExportError` beyond what is accepted.
    """
    opened, found = onnx.session(preparation(preprocess).SerializeToString()), {}
    for piece in pieces(preprocess.channels):
        (received,) = opened.run(None, {IMAGE: piece})
        levels = preprocess.restored(torch.from_numpy(received))[0].permute(1, 2, 0).numpy()
        expected = preprocess.pixels(piece)
        found[f"{piece.shape[1]}x{piece.shape[0]}"] = float(np.abs(levels.astype(int) - expected).mean())
    limit = NEAREST if preprocess.interpolation == "nearest" else LEVELS
    if max(found.values()) > limit:
        raise ExportError(
            f"the graph resizes photographs otherwise than this package, by {max(found.values()):.2g} levels of 255 on "
            f"average, tolerance {limit}; nothing was written"
        )
    return found


def _refuse(differences: Iterable[float], tolerance: float) -> None:
    worst = max(differences, key=lambda value: (value != value, value))  # NaN is the worst
    if not np.isfinite(worst):
        raise ExportError("the model's outputs are not finite (NaN or infinity); nothing was written")
    if worst > tolerance:
        raise ExportError(
            f"the export differs from the model by {worst:.2g} of the largest logit, tolerance {tolerance:.2g}; "
            "nothing was written"
        )
