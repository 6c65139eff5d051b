"""Photographs on a page: small, as the model sees them, and where it looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import UInt8
from vitascope.data.preprocess import Preprocess, to_tensor
from vitascope.models.vit import ViT
from vitascope.views.attention_rollout import overlaid, rollout
from vitascope.views.look import as_rgb

_SIDE = 160
"""Pixels of the longer side of a photograph on a page."""
_LOOKS = 1e12
"""Operations that it may take to see where a model looked: a dozen images of a ViT-B/16, in seconds on two cores."""


def thumbnail(preprocess: Preprocess, image: UInt8) -> UInt8:
    """What the model sees of uint8 (H, W, 3), sharper where its size is small → uint8 (h, w, 3)."""
    array = preprocess.read(image)
    height, width = preprocess.size
    sharp = min(array.shape[0] / height, array.shape[1] / width)
    scale = min(_SIDE / max(height, width), max(sharp, 1.0))
    shown = replace(
        preprocess,
        size=(max(round(scale * height), 1), max(round(scale * width), 1)),
        interpolation="bilinear",
        antialias=True,
    )
    return as_rgb(shown.resize(array))


def looked_at(checkpoint: Checkpoint, images: Sequence[UInt8]) -> list[UInt8]:
    """Thumbnails of the first of `images`, uint8 (H, W, 3), as many as take seconds, under the colours of the model's
    attention rollout; none of a model without attention."""
    model, preprocess = checkpoint.model, checkpoint.preprocess
    if not isinstance(model, ViT):
        return []
    patches = math.prod(side // model.config.pixels_per_token for side in preprocess.size)
    operations = 2.0 * patches * sum(parameter.numel() for parameter in model.parameters())
    few = images[: int(_LOOKS / operations)]
    if not few:
        return []
    batch = preprocess.normalise(to_tensor([preprocess.pixels(image) for image in few]))
    place = next(model.parameters()).device
    with torch.no_grad():
        rolled = np.asarray(rollout(model, batch.to(place)).cpu())
    return [overlaid(thumbnail(preprocess, image), amounts, 0.55) for image, amounts in zip(few, rolled, strict=True)]
