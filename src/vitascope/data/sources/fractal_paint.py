"""From points to pictures: counting points per pixel, stamping, shading, colour, background.

Symbols: n images, S side in pixels, K words, B = ifs.BASES. All functions treat images independently, with element-wise
arithmetic only, so a picture has the same bytes alone and in a batch.
"""

from __future__ import annotations

import numpy as np

from vitascope.data.sources.ifs import BASES, attractor

POINTS_AT_ONCE = 1 << 17  # points handled together: their arrays stay in the processor's cache
PALETTE = 64  # colours per picture
NOISE_CELLS = 8  # side of the coarse grid behind smooth background noise


def count_points(words: np.ndarray, points: np.ndarray, size: int, addresses: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points per pixel: words (6, n, K) in pixel units, points (n, B, 2, K) → counts, address float32 (n, S, S).

    `address` is the mean address (0 to 1, which part of the fractal) of a pixel's points, zeros unless asked for.
    Points outside the picture fall on a rim of one pixel that is cut off.
    """
    _, n, count = words.shape
    side = size + 2
    counts = np.empty((n, side * side), dtype=np.float32)
    sums = np.zeros((n, side * side), dtype=np.float32)
    at_once = max(1, POINTS_AT_ONCE // (count * count))
    where = np.arange(count, dtype=np.float64).reshape(count // BASES, BASES).T / count  # word i's address, (B, K/B)
    weights = np.broadcast_to(where[None, :, :, None], (at_once, BASES, count // BASES, count)).reshape(-1)
    for start in range(0, n, at_once):
        part = slice(start, start + at_once)
        x, y = attractor(words[:, part], points[part])
        m = len(x)
        np.clip(x, -1.0, size, out=x)
        np.clip(y, -1.0, size, out=y)
        x += 1.0
        y += 1.0
        np.floor(y, out=y)
        y *= side
        np.floor(x, out=x)
        y += x
        index = y.astype(np.intp)
        index += (np.arange(m) * (side * side))[:, None, None, None]
        index = index.reshape(-1)
        counts[part] = np.bincount(index, minlength=m * side * side).reshape(m, -1)
        if addresses:
            sums[part] = np.bincount(index, weights[: len(index)], m * side * side).reshape(m, -1)
    return _crop(counts, size), _crop(sums, size)


def _crop(values: np.ndarray, size: int) -> np.ndarray:
    inner: np.ndarray = values.reshape(-1, size + 2, size + 2)[:, 1:-1, 1:-1]
    return inner


def stamp(values: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Draw a small patch at each point instead of one pixel: (n, S, S), patch (n, 2, 2) of 0 and 1 → (n, S, S)."""
    out = values * patch[:, 0, 0, None, None]
    out[:, :, 1:] += values[:, :, :-1] * patch[:, 0, 1, None, None]
    out[:, 1:] += values[:, :-1] * patch[:, 1, 0, None, None]
    out[:, 1:, 1:] += values[:, :-1, :-1] * patch[:, 1, 1, None, None]
    return out


def brightness(counts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Shade each pixel by log density: (n, S, S), depth (n,) → float32, 0 where no point fell, else 1 − depth to 1."""
    level = np.log1p(counts)
    level /= np.maximum(level.max(axis=(1, 2), keepdims=True), 1e-6)
    shade: np.ndarray = np.where(counts > 0, 1.0 - depth[:, None, None] * (1.0 - level), np.float32(0))
    return shade


def palettes(hue: np.ndarray, spread: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Cosine palettes, each argument (n,) → float32 (n, PALETTE, 3) in [0, 1]; `spread` is the arc of hues in turns."""
    turn = hue[:, None] + spread[:, None] * np.linspace(0, 1, PALETTE)  # (n, PALETTE)
    phase = turn[..., None] + np.array([0.0, 1 / 3, 2 / 3])
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    colours = value[:, None, None] * (1.0 - saturation[:, None, None] * (1.0 - wave))
    return colours.astype(np.float32)


def backgrounds(size: int, base: np.ndarray, slope: np.ndarray, noise: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Plain colour + linear gradient + smooth noise: float32 (n, S, S, 3), clipped to [0, 1].

    base (n, 3); slope (n, 2, 3) change from edge to edge, down and across; noise (n,) amplitude;
    grid (n, G, G) in [-1, 1].
    """
    line = ((np.arange(size) + 0.5) / size).astype(np.float32)
    position = line * (NOISE_CELLS - 1)
    left = np.minimum(position.astype(np.int64), NOISE_CELLS - 2)
    part = position - left
    rows = grid[:, left] * (1 - part)[:, None] + grid[:, left + 1] * part[:, None]  # (n, S, G)
    smooth = rows[:, :, left] * (1 - part) + rows[:, :, left + 1] * part  # (n, S, S)
    picture = base[:, None, None] + slope[:, None, None, 0] * (line - 0.5)[:, None, None]
    picture = picture + slope[:, None, None, 1] * (line - 0.5)[:, None]
    picture = picture + (noise[:, None, None] * smooth)[..., None]
    clipped: np.ndarray = np.clip(picture, 0.0, 1.0, dtype=np.float32, casting="same_kind")
    return clipped
