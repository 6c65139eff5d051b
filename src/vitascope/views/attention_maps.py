"""Attention itself (Equation 2, Appendix A): per layer and head, from every token and from what the head reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.layers.patches import Size
from vitascope.views.capture import Capture, Progress, as_vit, captures, chosen_layers
from vitascope.views.drawing import HEAT, INK, MARK, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention(model: nn.Module, images: Tensor, layers: Sequence[int] | int | None = None) -> dict[int, Tensor]:
    """Attention weights of `layers` (None: all; from 0), (B, C, H, W) → {layer: (B, h, T, T)}; rows sum to 1.

    Row i says where token i looks; tokens are class token, registers, patches row by row. All of it is in the result,
    4·B·h·T² bytes a layer, so ask for few layers of many images. The model runs no further than the last layer asked
    for. Raises `ConfigError` for a model without attention, a layer it lacks, images it cannot take.
    """
    result: dict[int, Tensor] = {}
    first = 0
    for capture in captures(model, images, layers):
        for position, layer in enumerate(capture.layers):
            heads, tokens = capture.q[position].shape[1:3]
            if layer not in result:
                result[layer] = torch.empty(len(images), heads, tokens, tokens, dtype=capture.q[position].dtype)
            for at, queries, weights in capture.weights(position):
                result[layer][first : first + capture.images][at, :, queries] = weights.cpu()
        first += capture.images
    return result


def class_attention(
    model: nn.Module,
    images: Tensor,
    layers: Sequence[int] | int | None = None,
    *,
    each_chunk: Progress | None = None,
) -> Tensor:
    """Attention of the class token to the patches, (B, C, H, W) → (B, L, h, r, c); where the head pools the patches
    instead, the mean over them as queries.

    What goes to the class token and registers is left out, so that maps add up to 1 or less. Raises `ConfigError`.
    """
    chosen_layers(as_vit(model), layers)
    parts = [class_attention_by_image(c).cpu() for c in captures(model, images, layers, each_chunk=each_chunk)]
    return torch.cat(parts)


def class_attention_by_image(capture: Capture) -> Tensor:
    """`class_attention` of the captured images, (B, L, h, r, c)."""
    patches = capture.grid[0] * capture.grid[1]
    result = capture.zeros(capture.images, len(capture.layers), capture.config.heads, patches)
    for layer in range(len(capture.layers)):
        readers = capture.q[layer][:, :, capture.readers].shape[2]
        for images, _, weights in capture.weights(layer, capture.readers):
            result[images, layer] += weights[..., capture.patches].sum(2) / readers
    return result.reshape(*result.shape[:3], *capture.grid)


def draw_attention(
    weights: np.ndarray | Tensor, grid: Size, query: tuple[int, int] | None = None, *, prefix: int = 1, layer: int
) -> Figure:
    """Where one token looks in every head of layer `layer` (from 0): (h, T, T) as small maps of one common scale.

    `query` is a (row, column) of the grid and is marked; None is the first token, the class token where there is one.
    """
    values = np.asarray(weights)
    token = 0 if query is None else prefix + query[0] * grid[1] + query[1]
    maps = values[:, token, prefix:].reshape(-1, *grid)
    columns = min(math.ceil(math.sqrt(1.5 * len(maps))), len(maps))
    rows = math.ceil(len(maps) / columns)
    drawing = figure(1.55 * columns + 1.0, 1.75 * rows * min(max(grid[0] / grid[1], 0.5), 2.0) + 0.6)
    all_axes = drawing.subplots(rows, columns, squeeze=False).flatten()
    for head, axes in enumerate(all_axes):
        axes.set_axis_off()
        if head < len(maps):
            shown = axes.imshow(maps[head], cmap=HEAT, vmin=0, vmax=float(maps.max()) or 1.0)
            axes.set_title(f"head {head + 1}", fontsize=9)
            if query is not None:
                axes.plot(query[1], query[0], "s", markerfacecolor="none", markeredgecolor=MARK, markeredgewidth=1.6)
    asked = "first token" if query is None else f"patch at row {query[0] + 1}, column {query[1] + 1}"
    drawing.suptitle(f"Attention of the {asked}, layer {layer + 1}", color=INK)
    drawing.colorbar(shown, ax=all_axes.tolist(), label="attention weight", shrink=0.8, aspect=24)
    return drawing


def draw_class_attention(maps: np.ndarray | Tensor) -> Figure:
    """Every layer and head at once, (L, h, r, c): a row per layer, a column per head, each map scaled to its largest
    value."""
    values = np.asarray(maps, dtype=np.float32)
    depth, heads, rows, columns = values.shape
    values = values / np.maximum(values.max(axis=(2, 3), keepdims=True), 1e-12)
    gap = max(round(max(rows, columns) / 10), 1)
    wall = np.full((depth * (rows + gap) - gap, heads * (columns + gap) - gap), np.nan, dtype=np.float32)
    for layer, head in np.ndindex(depth, heads):
        top, left = layer * (rows + gap), head * (columns + gap)
        wall[top : top + rows, left : left + columns] = values[layer, head]
    side = min(0.72, 9.0 / max(depth, heads))
    drawing = figure(max(side * heads, 2.4) + 1.9, max(side * depth * rows / columns, 1.6) + 0.9)
    axes = drawing.subplots()
    shown = axes.imshow(wall, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([h * (columns + gap) + (columns - 1) / 2 for h in range(heads)], [f"{h + 1}" for h in range(heads)])
    axes.set_yticks([n * (rows + gap) + (rows - 1) / 2 for n in range(depth)], [f"{n + 1}" for n in range(depth)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    drawing.colorbar(shown, ax=axes, label="attention, share of each map's largest", shrink=0.8, aspect=24)
    return drawing
