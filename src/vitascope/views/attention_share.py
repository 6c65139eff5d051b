"""The share of the image attended: how many patches a head spreads its attention over, near or far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vitascope.views.capture import Capture, QueryMeans, mean_over_images
from vitascope.views.drawing import heads_by_layer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attended_share(model: nn.Module, images: Tensor) -> Tensor:
    """Share of the image each head attends to, mean over (B, C, H, W) images → (L, h), from 1/N to 1.

    For each patch exp(entropy) of its attention over the patches, which is how many patches it would be if all got
    the same; divided by their number N; then the mean over patches and images. 1/N: one patch alone; 1: all alike.
    Attention to the class token and registers is left out and the rest renormalised. Raises `ConfigError`.
    """
    return mean_over_images(model, images, shares)


def shares(capture: Capture) -> QueryMeans:
    """Reads `attended_share` of each image, (B, L, h), from 1/N to 1."""

    def of_each(weights: Tensor, queries: slice) -> Tensor:
        seen = weights[..., capture.patches]
        share = seen / seen.sum(-1, keepdim=True).clamp_min(torch.finfo(seen.dtype).tiny)
        return torch.special.entr(share).sum(-1).exp() / seen.shape[-1]

    return QueryMeans(capture, capture.patches, of_each)


def draw_share(share: npt.ArrayLike) -> Figure:
    """A dot per head over depth, (L, h) shares of the image in percent."""
    return heads_by_layer(100 * np.asarray(share), "share of the image attended (%)", top=104)
