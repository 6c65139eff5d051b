"""Embedding filters (Figure 7 left): what the first layer looks for in the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.views.capture import as_vit
from vitascope.views.drawing import figure
from vitascope.views.tiles import columns_for, tiled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def embedding_filters(model: nn.Module, components: int = 28) -> Tensor:
    """The first principal components of the patch projection E, each of length 1, (components, P, P, C).

    Of a hybrid those of its stem's root kernels, standardised as they are used. Fewer where there are no more: at
    most P·P·C, and at most as many as filters. The sign, which is arbitrary, makes the largest value positive.
    Raises `ConfigError`.
    """
    if components < 1:
        raise ConfigError(f"components is {components}, expected at least 1")
    model = as_vit(model)
    with torch.no_grad():
        kernel = model.patches.projection.weight if model.stem is None else model.stem.root.standardised()
        flat = kernel.detach().cpu().double().permute(0, 2, 3, 1).flatten(1)  # (D, P·P·C)
        directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:components]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * torch.where(largest < 0, -1.0, 1.0)
    dtype = torch.float64 if kernel.dtype == torch.float64 else torch.float32
    return directions.to(dtype).reshape(-1, *kernel.shape[2:], kernel.shape[1])


def filter_tiles(filters: np.ndarray | Tensor) -> np.ndarray:
    """Pictures of (n, P, P, C) filters, uint8 (n, P, W, 3): grey is 0, each filter scaled to its largest value.

    Three channels are red, green and blue. Any other number gives grey pictures of the channels side by side, with a
    white line between.
    """
    values = np.asarray(filters, dtype=np.float64)
    n, height, _, channels = values.shape
    peak = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
    shades = np.rint(127.5 + 127.5 * values / np.maximum(peak, 1e-12)).astype(np.uint8)
    if channels == 3:
        return shades
    line = np.full((n, height, 1), 255, dtype=np.uint8)
    parts = [part for c in range(channels) for part in (line, shades[..., c])][1:]
    return np.repeat(np.concatenate(parts, axis=2)[..., None], 3, axis=3)


def draw_filters(filters: np.ndarray | Tensor) -> Figure:
    """Figure 7 left: (n, P, P, C) filters as tiles."""
    tiles = filter_tiles(filters)
    n, height, width = tiles.shape[:3]
    gap = max(round(height / 8), 1)
    picture = tiled(tiles, columns_for(n, width / height), (gap, gap), 255)
    tall, wide = picture.shape[:2]
    side = min(6.2 / wide, 7.5 / tall)
    drawing = figure(max(side * wide, 3.2) + 0.2, side * tall + 0.45)
    axes = drawing.subplots()
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    named = {1: "grey", 3: "RGB"}.get(np.asarray(filters).shape[3], "channels side by side")
    drawing.suptitle(f"First {n} principal components ({named}; mid grey is 0)", fontsize=10)
    return drawing
