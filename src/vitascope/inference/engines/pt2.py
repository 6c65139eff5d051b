"""torch.export's file: the graph for PyTorch elsewhere, without this package.

It is written and compared, and never opened otherwise: PyTorch's reader unpickles what it finds in such a file, so that
one from somebody else may run any program.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.inference.engines.pytorch import Engine, TorchEngine
from vitascope.inference.engines.traced import quiet, traceable

FILES = ("model.pt2",)


def library(precision: str = "float32") -> Any:
    """PyTorch, which is always there."""
    return torch


def write(checkpoint: Checkpoint, path: Path, precision: str, images: np.ndarray | None = None) -> None:
    """The checkpoint's model, float32, for any batch of images of the checkpoint's size."""
    with traceable(checkpoint) as (model, example, shapes):
        torch.export.save(torch.export.export(model, example, **shapes), path)


def read(path: Path, precision: str = "float32") -> Engine:
    """The engine of a file that was written here a moment ago."""
    with quiet():
        module = torch.export.load(path).module()

    def run(images: Tensor) -> Tensor:
        return module(images)

    return TorchEngine(run, torch.device("cpu"), precision)
