"""PyTorch's compiler: fused operations, after a minute of compiling."""

from __future__ import annotations

import torch
from torch import Tensor

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.inference.engines.eager import Engine, TorchEngine, placed


def compiled(checkpoint: Checkpoint, device: torch.device, precision: str, batch: int) -> Engine:
    """Compiled here and now, for any batch but 1 unless `batch` is 1; raises what the compiler raises."""
    module = torch.compile(placed(checkpoint, device, precision))

    def run(images: Tensor) -> Tensor:
        # Otherwise the last, smaller batch of a job would be compiled for itself.
        torch._dynamo.maybe_mark_dynamic(images, 0)
        return module(images)

    engine = TorchEngine(run, device, precision)
    preprocess = checkpoint.preprocess
    engine(torch.zeros(min(batch, 2), preprocess.channels, *preprocess.size))  # compiles
    return engine
