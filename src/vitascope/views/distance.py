"""Mean attention distance (Figure 7 right, Figure 11): how far a head looks, the counterpart of a receptive field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vitascope.layers.config import Size
from vitascope.views.capture import Capture, QueryMeans, mean_over_images
from vitascope.views.drawing import heads_by_layer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_distance(model: nn.Module, images: Tensor) -> Tensor:
    """How far each head looks, in pixels, mean over (B, C, H, W) images → (L, h).

    For each patch the Euclidean distances to all patches, centre to centre, weighted by attention; then the mean over
    patches and images. As the authors computed it, the class token's row and column are left out (registers' too) and
    what remains is not renormalised: attention to them counts as no distance. Raises `ConfigError`.
    """
    return mean_over_images(model, images, distances)


def distances(capture: Capture) -> QueryMeans:
    """Reads `attention_distance` of each image, (B, L, h) pixels."""
    prefix = capture.config.prefix
    table = patch_distances(capture.grid, capture.config.pixels_per_token).to(capture.q[0])  # (N, N)

    def of_each(weights: Tensor, queries: slice) -> Tensor:
        return (weights[..., prefix:] * table[queries.start - prefix : queries.stop - prefix]).sum(-1)

    return QueryMeans(capture, capture.patches, of_each)


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
    line = None if uniform is None else (uniform, "uniform attention")
    return heads_by_layer(np.asarray(distance), "mean attention distance (pixels)", line=line)
