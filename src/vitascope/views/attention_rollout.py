"""Attention rollout (Figure 6; Abnar and Zuidema, 2020): from which patches the last layer's answer was gathered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.views.capture import Capture, Progress, captures
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
    tokens = capture.q[0].shape[2]
    identity = torch.eye(tokens).to(capture.q[0])
    flow = identity.expand(capture.images, -1, -1)  # (B, T, T): row i is where token i's content came from
    for layer in range(len(capture.layers)):
        mean = capture.zeros(capture.images, tokens, tokens)
        for images, queries, weights in capture.weights(layer):
            mean[images, queries] = weights.mean(1)
        if residual:
            mean.add_(identity).div_(2)
        with torch.autocast(mean.device.type, enabled=False):
            flow = mean @ flow
    return flow[:, capture.readers, capture.patches].mean(1).reshape(-1, *capture.grid)


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
