"""Mean attention distance (Figure 7 right, Figure 11): how far a head looks, the counterpart of a receptive field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vitascope.layers.config import Size
from vitascope.views.capture import Capture, mean_over_images
from vitascope.views.drawing import INK, figure, heads_by_layer, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_distance(model: nn.Module, images: Tensor) -> Tensor:
    """How far each head looks, in pixels, mean over (B, C, H, W) images → (L, h).

    For each patch the Euclidean distances to all patches, centre to centre, weighted by attention; then the mean over
    patches and images. As the authors computed it, the class token's row and column are left out (registers' too) and
    what remains is not renormalised: attention to them counts as no distance. Raises `ConfigError`.
    """
    return mean_over_images(model, images, Distances)


class Distances:
    """Reads `attention_distance` of each image, (B, L, h) pixels."""

    def __init__(self, capture: Capture) -> None:
        self.queries, self.prefix = capture.patches, capture.config.prefix
        self.table = patch_distances(capture.grid, capture.config.pixels_per_token).to(capture.q[0])  # (N, N)
        self.sums = capture.zeros(capture.images, len(capture.layers), capture.config.heads)

    def read(self, position: int, images: slice, queries: slice, weights: Tensor) -> None:
        """Adds up the distances of these queries."""
        distances = self.table[queries.start - self.prefix : queries.stop - self.prefix]
        self.sums[images, position] += (weights[..., self.prefix :] * distances).sum(-1).sum(-1)

    def result(self) -> Tensor:
        """(B, L, h) pixels."""
        return self.sums / len(self.table)


def patch_distances(grid: Size, pixels: int) -> Tensor:
    """Euclidean distances between the centres of patches that are `pixels` wide, float64 (N, N)."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    centres = torch.stack([rows.flatten(), columns.flatten()], dim=1).double() * pixels
    return torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")


def uniform_distance(grid: Size, pixels: int, prefix: int) -> float:
    """The distance of a head that attends to all tokens alike: the yardstick for "looks everywhere", in pixels."""
    patches = grid[0] * grid[1]
    return float(patch_distances(grid, pixels).mean()) * patches / (patches + prefix)


def draw_distance(distance: npt.ArrayLike, uniform: float | None = None) -> Figure:
    """Figure 7 right: a dot per head over depth, (L, h) pixels; `uniform` adds the line of `uniform_distance`."""
    values = np.asarray(distance)
    drawing = figure(6.4, 4.2)
    axes = drawing.subplots()
    heads_by_layer(axes, values, "mean attention distance (pixels)")
    if uniform is not None:
        axes.axhline(uniform, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="uniform attention")
    axes.set_ylim(0, 1.08 * max(float(values.max()), uniform or 0.0, 1e-6))
    key(axes)
    return drawing
