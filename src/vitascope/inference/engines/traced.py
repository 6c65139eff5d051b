"""What an exporter is given of a checkpoint, and how it is kept from talking."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.inference.class_token import for_prediction
from vitascope.models.evaluated import evaluated


class Further(NamedTuple):
    """What a graph of one image gives besides logits."""

    name: str
    compute: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]
    """Of the model and (1, C, h, w) images: logits, and this; both from one pass."""


class WithFurther(nn.Module):
    """A model's logits and what is given besides; the weights are shared."""

    def __init__(self, model: nn.Module, further: Further) -> None:
        super().__init__()
        self.model, self.further = model, further

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.further.compute(self.model, images)


@contextmanager
def traceable(
    checkpoint: Checkpoint, *, single: bool = False, further: Further | None = None
) -> Iterator[tuple[nn.Module, tuple[Tensor], dict[str, Any]]]:
    """The model, its arguments, images of the checkpoint's size, and that there may be any number of those.

    A `single` image only on wish, as `further` needs it.
    """
    own, preprocess = checkpoint.model, checkpoint.preprocess
    model = WithFurther(evaluated(own), further).eval() if further else for_prediction(own)
    # Otherwise two images: the exporters take a batch of 1 for a constant. Run once before, so that computed positions
    # are constants of the graph and not the exporter's placeholders in the model's memory.
    images = torch.zeros(1 if single else 2, preprocess.channels, *preprocess.size)
    any_number = {} if single else {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1)},)}
    with torch.no_grad(), quiet():
        model(images)
        yield model, (images,), any_number


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
