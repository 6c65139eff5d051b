"""The share of the image attended: how many patches a head spreads its attention over, near or far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vitascope.views.capture import Capture, mean_over_images
from vitascope.views.drawing import figure, heads_by_layer, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attended_share(model: nn.Module, images: Tensor) -> Tensor:
    """Share of the image each head attends to, mean over (B, C, H, W) images → (L, h), from 1/N to 1.

    For each patch exp(entropy) of its attention over the patches, which is how many patches it would be if all got
    the same; divided by their number N; then the mean over patches and images. 1/N: one patch alone; 1: all alike.
    Attention to the class token and registers is left out and the rest renormalised. Raises `ConfigError`.
    """
    return mean_over_images(model, images, Shares)


class Shares:
    """Reads `attended_share` of each image, (B, L, h)."""

    def __init__(self, capture: Capture) -> None:
        self.queries, self.prefix = capture.patches, capture.config.prefix
        self.patches = capture.grid[0] * capture.grid[1]
        self.sums = capture.zeros(capture.images, len(capture.layers), capture.config.heads)

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Adds up how many patches these queries look at."""
        seen = weights[..., self.prefix :]
        share = seen / seen.sum(-1, keepdim=True).clamp_min(torch.finfo(seen.dtype).tiny)
        self.sums[images, position] += torch.special.entr(share).sum(-1).exp().sum(-1)

    def result(self) -> Tensor:
        """(B, L, h), from 1/N to 1."""
        return self.sums / self.patches**2


def draw_share(share: npt.ArrayLike) -> Figure:
    """A dot per head over depth, (L, h) shares of the image in percent."""
    drawing = figure(6.4, 4.2)
    axes = drawing.subplots()
    heads_by_layer(axes, 100 * np.asarray(share), "share of the image attended (%)")
    axes.set_ylim(0, 104)
    key(axes)
    return drawing
