"""A checkpoint small enough for every test, with values that leave nothing at zero."""

from __future__ import annotations

from typing import Any

import torch

from vitascope.checkpoints.checkpoint import Checkpoint, numbered_labels
from vitascope.data.images import ImageLike
from vitascope.data.preprocess import Preprocess
from vitascope.models.catalogue import build_model
from vitascope.models.config import ModelConfig, ViTConfig
from vitascope.views.look import Look, looks

TINY = ViTConfig(image_size=(16, 16), patch=8, width=16, depth=1, heads=2, hidden=24, classes=3)


def checkpoint(config: ModelConfig = TINY, **changes: Any) -> Checkpoint:
    """Of this config, with any field of the checkpoint changed."""
    generator = torch.Generator().manual_seed(0)
    model = build_model(config, generator).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    fields = {
        "preprocess": Preprocess(size=config.image_size, channels=config.channels),
        "labels": numbered_labels(config.classes),
    }
    return Checkpoint(model=model, **(fields | changes))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, the same every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def look(checkpoint: Checkpoint, image: ImageLike) -> Look:
    """At any image, as the checkpoint is shown it."""
    preprocess = checkpoint.preprocess
    return next(looks(checkpoint, [preprocess.resize(preprocess.read(image))]))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two models have the same tensors to the bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
