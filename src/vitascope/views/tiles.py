"""Many small maps as tiles of one picture: much quicker to draw than a panel for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vitascope.views.drawing import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def columns_for(n: int, ratio: float) -> int:
    """How many tiles of width/height `ratio` to put in a row, so that `n` fill a wide rectangle and none is missing."""

    def ugliness(columns: int) -> float:
        rows = math.ceil(n / columns)
        return abs(math.log(columns * ratio / rows / 1.6)) + 2.5 * (rows * columns - n) / n

    return min(range(1, n + 1), key=ugliness)


def tiled(maps: np.ndarray, columns: int, gap: tuple[int, int], empty: float) -> np.ndarray:
    """(n, r, c[, 3]) maps row by row in one picture, `gap` cells (down, across) of `empty` between them."""
    n, r, c = maps.shape[:3]
    rows = math.ceil(n / columns)
    shape = (rows * (r + gap[0]) - gap[0], columns * (c + gap[1]) - gap[1], *maps.shape[3:])
    picture = np.full(shape, empty, dtype=maps.dtype)
    for index, one in enumerate(maps):
        top, left = (index // columns) * (r + gap[0]), (index % columns) * (c + gap[1])
        picture[top : top + r, left : left + c] = one
    return picture


def wall(
    maps: np.ndarray,
    rows: tuple[str, Sequence[int]],
    columns: tuple[str, Sequence[int]],
    colours: tuple[str, float, float],
    bar: str,
) -> Figure:
    """Maps (R, C, r, c) as R rows and C columns of tiles, each a name and the numbers beside its tiles; `colours` is
    a colour map with the values at its ends, `bar` says what they are."""
    down, across, r, c = maps.shape
    gap = max(round(max(r, c) / 10), 1)
    picture = tiled(maps.astype(np.float32).reshape(-1, r, c), across, (gap, gap), np.nan)
    tall, wide = picture.shape
    inches = min(5.6 / math.sqrt(tall * wide), 8 / max(tall, wide))
    drawing = figure(max(inches * wide, 2.0) + 1.6, max(inches * tall, 1.8) + 0.6)
    axes = drawing.subplots()
    shown = axes.imshow(picture, cmap=colours[0], vmin=colours[1], vmax=colours[2], interpolation="nearest")
    axes.set_xticks([j * (c + gap) + (c - 1) / 2 for j in range(across)], [str(n) for n in columns[1]])
    axes.set_yticks([i * (r + gap) + (r - 1) / 2 for i in range(down)], [str(n) for n in rows[1]])
    axes.tick_params(length=0, labelsize=9 if max(down, across) <= 16 else 6)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(columns[0])
    axes.set_ylabel(rows[0])
    drawing.colorbar(shown, ax=axes, label=bar, shrink=min(0.9, 3.6 / max(inches * tall, 1.8)), aspect=22)
    return drawing
