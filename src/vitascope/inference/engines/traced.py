"""What an exporter is given of a checkpoint, and how it is kept from talking."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.inference.class_token import for_prediction


@contextmanager
def traceable(checkpoint: Checkpoint) -> Iterator[tuple[nn.Module, tuple[Tensor], dict[str, Any]]]:
    """The model, its arguments, images of the checkpoint's size, and that there may be any number of those."""
    model, preprocess = for_prediction(checkpoint.model), checkpoint.preprocess
    # Two images: the exporters take a batch of 1 for a constant. Run once before, so that computed positions are
    # constants of the graph and not the exporter's placeholders in the model's memory.
    images = torch.zeros(2, preprocess.channels, *preprocess.size)
    with torch.no_grad(), quiet():
        model(images)
        yield model, (images,), {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1)},)}


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters' notes on their own future are not the user's business, and standard output is the commands'."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "nncf")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
