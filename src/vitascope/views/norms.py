"""Token norms through the layers, which expose outliers: patches used as registers (Darcet et al., 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.layers.config import Size
from vitascope.views.capture import Capture, captures
from vitascope.views.drawing import FIRST, HEAT, SECOND, THIRD, depth_ticks, figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def token_norms(model: nn.Module, images: Tensor) -> Tensor:
    """Euclidean length of every token after every block, before the final LayerNorm, (B, C, H, W) → (B, L, T).

    Raises `ConfigError`.
    """
    return torch.cat([norms_by_image(c).cpu() for c in captures(model, images, tokens=True)])


def norms_by_image(capture: Capture) -> Tensor:
    """`token_norms` of the captured images, (B, L, T)."""
    wide = torch.float64 if capture.tokens[0].dtype == torch.float64 else torch.float32
    return torch.stack([torch.linalg.vector_norm(z, dim=-1, dtype=wide) for z in capture.tokens], dim=1)


def draw_norms(norms: np.ndarray | Tensor, grid: Size, *, prefix: int, class_token: bool) -> Figure:
    """One image's norms (L, T): over depth, and on the grid after the last block."""
    values = np.asarray(norms, dtype=np.float64)
    depth = values.shape[0]
    layers = np.arange(1, depth + 1)
    patches = values[:, prefix:]
    drawing = figure(9.2, 3.9)
    left, right = drawing.subplots(1, 2, width_ratios=[1.35, 1])
    low, middle, high = np.percentile(patches, [5, 50, 95], axis=1)
    left.fill_between(layers, low, high, color=FIRST, alpha=0.18, linewidth=0, label="patches, 5 % to 95 %")
    left.plot(layers, middle, color=FIRST, linewidth=1.6, label="patches, median")
    left.plot(layers, patches.max(axis=1), "^", color=FIRST, markersize=4, label="largest patch")
    if class_token:
        left.plot(layers, values[:, 0], color=SECOND, linewidth=1.6, label="class token")
    for index in range(int(class_token), prefix):
        label = "registers" if index == int(class_token) else None
        left.plot(layers, values[:, index], color=THIRD, linewidth=1, linestyle=(0, (3, 2)), label=label)
    left.set_ylim(bottom=0)
    depth_ticks(left, depth)
    tidy(left, "layer", "norm of the token")
    left.legend(frameon=False, fontsize=8)
    shown = right.imshow(patches[-1].reshape(grid), cmap=HEAT, vmin=0)
    right.set_title(f"patches after layer {depth}", fontsize=10)
    right.set_xlabel("patch column")
    right.set_ylabel("patch row")
    for side, set_ticks in ((grid[0], right.set_yticks), (grid[1], right.set_xticks)):
        ticks = range(0, side, -(-side // 8))
        set_ticks(ticks, [str(n + 1) for n in ticks])
    drawing.colorbar(shown, ax=right, label="norm of the token", shrink=0.85, aspect=22)
    return drawing
