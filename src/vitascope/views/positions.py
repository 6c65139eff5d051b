"""Similarity of position embeddings (Figure 7 centre, Figure 10), and in numbers how two-dimensional they are."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.views.capture import as_vit
from vitascope.views.distance import patch_distances
from vitascope.views.drawing import EVEN
from vitascope.views.tiles import wall

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILES = 16


@dataclass(frozen=True, kw_only=True)
class Locality:
    """How positions that were learned as one row of numbers mirror the two-dimensional grid; all in [−1, 1]."""

    correlation: float
    """Of similarity with Euclidean distance on the grid, over all pairs: −1 where near positions are alike."""
    raster_correlation: float
    """Of similarity with distance along the row of tokens, the only order the model was told: nearer 0 than
    `correlation` where columns were learned as well as rows."""
    same_row: float
    """Mean similarity of positions in one row."""
    same_column: float
    """Mean similarity of positions in one column."""
    elsewhere: float
    """Mean similarity of positions that share neither."""
    nearest_is_neighbour: float
    """Share of positions whose most similar other position touches them, corners included."""

    def as_json(self) -> dict[str, float | None]:
        """By name; None for NaN, which is not JSON."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def position_similarity(model: nn.Module) -> Tensor:
    """Cosine similarity between the stored position embeddings of all patches, (r, c, r, c) in [−1, 1].

    The class token's row is left out. A row of zeros is similar to nothing. Raises `ConfigError` for a model without
    positions.
    """
    model = as_vit(model)
    positions = model.embedding.positions
    if positions is None:
        told = f'this model has no position embeddings to compare (its positions are "{model.config.positions}")'
        raise ConfigError(told)
    with torch.no_grad():
        table = positions(positions.grid)[0, int(positions.class_row) :].cpu()
        wide = F.normalize(table.double(), dim=1)
        similarity = (wide @ wide.T).clamp_(-1, 1)
    dtype = torch.float64 if table.dtype == torch.float64 else torch.float32
    return similarity.to(dtype).reshape(*positions.grid, *positions.grid)


def position_locality(model: nn.Module) -> Locality:
    """`locality_of` the model's positions; raises `ConfigError` where it has none or has fewer than two."""
    return locality_of(position_similarity(model))


def locality_of(similarity: Tensor) -> Locality:
    """What (r, c, r, c) similarities say about the grid; NaN where no such pairs exist or nothing varies."""
    grid = (similarity.shape[0], similarity.shape[1])
    n = grid[0] * grid[1]
    if n < 2:
        raise ConfigError(f"a grid of {grid[0]}×{grid[1]} has no two positions to compare; expected more patches")
    flat = similarity.reshape(n, n).double()
    rows, columns = np.divmod(np.arange(n), grid[1])
    down = np.abs(rows[:, None] - rows)
    across = np.abs(columns[:, None] - columns)
    others = ~np.eye(n, dtype=bool)
    values = flat.numpy()
    distance = patch_distances(grid, 1).numpy()
    raster = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    nearest = np.where(others, values, -np.inf).argmax(axis=1)
    at = np.arange(n)
    return Locality(
        correlation=_correlation(values[others], distance[others]),
        raster_correlation=_correlation(values[others], raster[others]),
        same_row=_mean(values[others & (down == 0)]),
        same_column=_mean(values[others & (across == 0)]),
        elsewhere=_mean(values[(down > 0) & (across > 0)]),
        nearest_is_neighbour=float(np.mean(np.maximum(down, across)[at, nearest] == 1)),
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).mean() * (b**2).mean()))
    return float((a * b).mean()) / scale if scale > 1e-12 else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def draw_similarity(similarity: np.ndarray | Tensor) -> Figure:
    """Figure 7 centre: a tile per position, in its place, showing its similarity to all positions, (r, c, r, c).

    A grid of more than 16 positions a side is shown by every second, third, … of its tiles.
    """
    values = np.asarray(similarity, dtype=np.float32)
    down, across = (range(0, side, -(-side // _TILES)) for side in values.shape[:2])
    return wall(
        values[:: down.step, :: across.step],
        ("patch row", [n + 1 for n in down]),
        ("patch column", [n + 1 for n in across]),
        (EVEN, -1, 1),
        "cosine similarity",
    )
