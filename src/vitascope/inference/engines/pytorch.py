"""PyTorch on any device: operation by operation, or fused by its compiler, after a minute of compiling."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.inference.class_token import for_prediction
from vitascope.precision import autocast

Engine = Callable[[Tensor], Tensor]
"""Normalised float32 images (B, C, h, w) → float32 logits (B, K), both on the CPU."""


class TorchEngine:
    """Runs a module on its device."""

    def __init__(self, module: Callable[[Tensor], Tensor], device: torch.device, precision: str) -> None:
        self.module, self.device, self.precision = module, device, precision

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """See `Engine`."""
        with autocast(self.precision, self.device):
            return self.module(images.to(self.device)).float().cpu()


def eager(checkpoint: Checkpoint, device: torch.device, precision: str, batch: int) -> Engine:
    """The model as it is, with the last block cut short; the caller's stays on its device."""
    return TorchEngine(placed(checkpoint, device, precision), device, precision)


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


def placed(checkpoint: Checkpoint, device: torch.device, precision: str) -> nn.Module:
    """The model for prediction on `device`, a copy where anything has to be moved or cast."""
    model = checkpoint.model
    if precision == "bfloat16" or next(model.parameters()).device != device:
        model = copy.deepcopy(model).to(device)
    if precision == "bfloat16":
        # Once, instead of at every use; norms and the residual stream stay float32.
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
    return for_prediction(model)
