"""Attention itself (Equation 2, Appendix A): per layer and head, from every token and from what the head reads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.layers.config import Size
from vitascope.views.capture import Capture, QueryMeans, by_image, captures, read_attention
from vitascope.views.drawing import HEAT, INK, MARK, figure
from vitascope.views.tiles import columns_for, tiled, wall

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention(model: nn.Module, images: Tensor, layers: Iterable[int] | int | None = None) -> dict[int, Tensor]:
    """Attention weights of `layers` (None: all; from 0), (B, C, H, W) → {layer: (B, h, T, T)}; rows sum to 1.

    Row i says where token i looks; tokens are class token, registers, patches row by row. All of it is in the result,
    4·B·h·T² bytes a layer, so ask for few layers of many images. The model runs no further than the last layer asked
    for. Raises `ConfigError` for a model without attention, a layer it lacks, images it cannot take.
    """
    result: dict[int, Tensor] = {}
    done = 0
    for capture in captures(model, images, layers):
        if not result:
            heads, tokens = capture.q[0].shape[1:3]
            shape = len(images), heads, tokens, tokens
            result = {layer: torch.empty(shape, dtype=capture.q[0].dtype) for layer in capture.layers}
        parts = [result[layer][done : done + capture.images] for layer in capture.layers]
        read_attention(capture, partial(Weights, parts=parts))
        done += capture.images
    return result


class Weights:
    """Copies all weights of each layer to its place, (B, h, T, T)."""

    def __init__(self, capture: Capture, parts: list[Tensor]) -> None:
        self.queries, self.parts = slice(0, capture.q[0].shape[2]), parts

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Copies a part."""
        self.parts[position][images, :, queries] = weights.cpu()

    def result(self) -> Tensor:
        """Nothing but what is in its place."""
        return self.parts[0]


def class_attention(model: nn.Module, images: Tensor, layers: Iterable[int] | int | None = None) -> Tensor:
    """Attention of the class token to the patches, (B, C, H, W) → (B, L, h, r, c); where the head pools the patches
    instead, the mean over them as queries.

    What goes to the class token and registers is left out, so that maps add up to 1 or less. Raises `ConfigError`.
    """
    return by_image(model, images, class_maps, layers)


def class_maps(capture: Capture) -> QueryMeans:
    """Reads `class_attention` of each image, (B, L, h, r, c)."""

    def of_each(weights: Tensor, queries: slice) -> Tensor:
        return weights[..., capture.patches].reshape(*weights.shape[:3], *capture.grid)

    return QueryMeans(capture, capture.readers, of_each)


def draw_attention(
    weights: np.ndarray | Tensor, grid: Size, query: tuple[int, int] | None = None, *, prefix: int = 1, layer: int
) -> Figure:
    """Where one token looks in every head of layer `layer` (from 0): (h, T, T) as small maps of one common scale,
    whose colours follow the square root of the weight so that heads which spread their attention are not black.

    `query` is a (row, column) of the grid and is marked; None is the first token, the class token where there is one.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    values = np.asarray(weights)
    token = 0 if query is None else prefix + query[0] * grid[1] + query[1]
    maps = values[:, token, prefix:].reshape(-1, *grid)
    columns = columns_for(len(maps), grid[1] / grid[0])
    rows = math.ceil(len(maps) / columns)
    side = min(1.55 / max(grid), 11 / (columns * grid[1]), 11 / (rows * grid[0]))  # inches of a patch
    across, above = max(round(grid[1] / 12), 1), math.ceil(0.26 / side)  # room for "head 1"
    picture = tiled(maps.astype(np.float32), columns, (above, across), np.nan)
    drawing = figure(max(side * picture.shape[1], 2.6) + 1.1, side * picture.shape[0] + 0.6)
    axes = drawing.subplots()
    largest = float(maps.max()) or 1.0
    shown = axes.imshow(picture, cmap=HEAT, norm=PowerNorm(0.5, vmin=0, vmax=largest), interpolation="nearest")
    axes.set_axis_off()
    for head in range(len(maps)):
        top, left = head // columns * (grid[0] + above), head % columns * (grid[1] + across)
        axes.text(left + (grid[1] - 1) / 2, top - 0.75, f"head {head + 1}", fontsize=8, color=INK, ha="center")
        if query is not None:
            corner = (left + query[1] - 0.5, top + query[0] - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=MARK, linewidth=1.4))
    asked = "first token" if query is None else f"patch at row {query[0] + 1}, column {query[1] + 1}"
    drawing.suptitle(f"Attention of the {asked}, layer {layer + 1}", color=INK, fontsize=10)
    drawing.colorbar(
        shown,
        ax=axes,
        ticks=[largest * share for share in (0, 1 / 16, 1 / 4, 9 / 16, 1)],
        format="%.2g",
        label="attention weight",
        shrink=0.9,
        aspect=20,
    )
    return drawing


def draw_class_attention(maps: np.ndarray | Tensor) -> Figure:
    """Every layer and head at once, (L, h, r, c): a row per layer, a column per head, each map scaled to its largest
    value."""
    values = np.asarray(maps, dtype=np.float32)
    values = values / np.maximum(values.max(axis=(2, 3), keepdims=True), 1e-12)
    return wall(
        values,
        ("layer", range(1, len(values) + 1)),
        ("head", range(1, values.shape[1] + 1)),
        (HEAT, 0, 1),
        "attention, share of each map's largest",
    )
