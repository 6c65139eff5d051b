"""The share of the image attended: how many patches a head spreads its attention over, near or far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vitascope.views.capture import Capture, Progress, captures
from vitascope.views.drawing import figure, heads_by_layer, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attended_share(model: nn.Module, images: Tensor, *, each_chunk: Progress | None = None) -> Tensor:
    """Share of the image each head attends to, mean over (B, C, H, W) images → (L, h), from 1/N to 1.

    For each patch exp(entropy) of its attention over the patches, which is how many patches it would be if all got
    the same; divided by their number N; then the mean over patches and images. 1/N: one patch alone; 1: all alike.
    Attention to the class token and registers is left out and the rest renormalised. Raises `ConfigError`.
    """
    total, count = torch.zeros((), dtype=torch.float64), 0
    dtype = torch.float32
    for capture in captures(model, images, each_chunk=each_chunk):
        of_each = share_by_image(capture)
        total, count, dtype = total + of_each.double().sum(0).cpu(), count + capture.images, of_each.dtype
    return (total / count).to(dtype)


def share_by_image(capture: Capture) -> Tensor:
    """`attended_share` of each captured image, (B, L, h)."""
    patches = capture.grid[0] * capture.grid[1]
    result = capture.zeros(capture.images, len(capture.layers), capture.config.heads)
    for layer in range(len(capture.layers)):
        for images, _, weights in capture.weights(layer, capture.patches):
            seen = weights[..., capture.patches]
            share = seen / seen.sum(-1, keepdim=True).clamp_min(torch.finfo(seen.dtype).tiny)
            spread = torch.special.entr(share).sum(-1).exp()  # (b, h, t), in patches
            result[images, layer] += spread.sum(-1) / patches**2
    return result


def draw_share(share: npt.ArrayLike) -> Figure:
    """A dot per head over depth, (L, h) shares of the image in percent."""
    drawing = figure(6.4, 4.2)
    axes = drawing.subplots()
    heads_by_layer(axes, 100 * np.asarray(share), "share of the image attended (%)")
    axes.set_ylim(0, 104)
    key(axes)
    return drawing
