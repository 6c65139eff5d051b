"""Attention rollout (Figure 6; Abnar and Zuidema, 2020): from which patches the last layer's answer was gathered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.views.capture import Capture, Progress, captures, read_attention
from vitascope.views.drawing import figure
from vitascope.views.overlay import lit, over_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rollout(model: nn.Module, images: Tensor, residual: bool = True, *, each_chunk: Progress | None = None) -> Tensor:
    """How much of each patch reaches what the head reads, (B, C, H, W) → (B, r, c).

    Attention averaged over heads and multiplied through the layers. With `residual` each layer's is (A + I)/2, half of
    a token being carried past the attention. Read from the class token, or as the mean over patches where the head
    pools them. Values are shares: with those of the class token and registers they add up to 1. Raises `ConfigError`.
    """
    parts = [rollout_by_image(c, residual).cpu() for c in captures(model, images, each_chunk=each_chunk)]
    return torch.cat(parts)


def rollout_by_image(capture: Capture, residual: bool = True) -> Tensor:
    """`rollout` of the captured images, (B, r, c), through all captured layers."""
    return read_attention(capture, Rollouts(capture, residual))[0]


class Rollouts:
    """Reads `rollout_by_image` as a product of a row with matrices, from the last layer to the first."""

    def __init__(self, capture: Capture, residual: bool = True) -> None:
        self.patches, self.grid, self.residual = capture.patches, capture.grid, residual
        # flow[l] says how much of each token, before layer l, reaches what the head reads.
        self.flow = capture.zeros(len(capture.layers) + 1, capture.images, capture.q[0].shape[2])
        read = self.flow[-1, :, capture.readers]
        read.fill_(1 / read.shape[1])

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Hands what reached these queries on to the tokens that they attend to."""
        reached = self.flow[position + 1, images, queries]  # (b, t)
        with torch.autocast(weights.device.type, enabled=False):
            gathered = (reached[:, None, None] @ weights).squeeze(2).mean(1)  # (b, T), mean over heads
        if self.residual:
            self.flow[position, images] += gathered / 2
            self.flow[position, images, queries] += reached / 2
        else:
            self.flow[position, images] += gathered

    def result(self) -> Tensor:
        """(B, r, c)."""
        return self.flow[0, :, self.patches].reshape(-1, *self.grid)


def draw_rollout(image: np.ndarray, rolled: np.ndarray | Tensor) -> Figure:
    """Figure 6: uint8 (H, W, 3), as bright as its rollout (r, c) says, and under the colours of the rollout."""
    height, width = image.shape[:2]
    side = 3.0 / math.sqrt(height * width)
    drawing = figure(3.1 * side * width + 0.9, side * height + 0.35)
    left, middle, right = drawing.subplots(1, 3)
    for axes, picture, title in ((left, image, "input"), (middle, lit(image, rolled), "lit by the rollout")):
        axes.imshow(picture)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    over_image(drawing, right, image, np.asarray(rolled), "share of the largest value")
    right.set_title("attention rollout", fontsize=10)
    return drawing
