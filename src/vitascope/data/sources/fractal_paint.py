"""From points to pictures: counting points per pixel, stamping, colouring by table, background.

Symbols: n images, S side in pixels, K words, B = ifs.BASES. Images are treated independently (element by element, or by
one small matrix product per image), so a picture has the same bytes alone and in a batch.
"""

from __future__ import annotations

import numpy as np

from vitascope.data.sources.ifs import BASES, attractor

POINTS_AT_ONCE = 1 << 17  # points handled together: their arrays stay in the processor's cache
HUES = 32  # steps of a picture's palette
SHADES = 32  # steps of brightness above black
COUNTS = 256  # points in a pixel, from which on more make no difference
NOISE_CELLS = 8  # side of the coarse grid behind smooth background noise


def count_points(words: np.ndarray, points: np.ndarray, size: int, addresses: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points per pixel: words (6, n, K) in pixel units, points (n, B, 2, K) → counts int32, sums float32, (n, S, S).

    `sums` adds up the addresses (0 to 1, which part of the fractal) of a pixel's points; zeros unless asked for.
    Points outside the picture fall on a rim of one pixel that is cut off.
    """
    _, n, count = words.shape
    side = size + 2
    counts = np.empty((n, side * side), dtype=np.int32)
    sums = np.zeros((n, side * side), dtype=np.float32)
    at_once = max(1, POINTS_AT_ONCE // (count * count))
    where = np.arange(count, dtype=np.float64).reshape(count // BASES, BASES).T / count  # word i's address, (B, K/B)
    weights = np.broadcast_to(where[None, :, :, None], (at_once, BASES, count // BASES, count)).reshape(-1)
    for start in range(0, n, at_once):
        part = slice(start, start + at_once)
        pixels = attractor(words[:, part], points[part])  # (m, B, 2, K/B, K)
        m = len(pixels)
        pixels += np.float32(1)
        np.clip(pixels, np.float32(0), np.float32(side - 0.5), out=pixels)
        cells = pixels.astype(np.int32)
        index = cells[:, :, 1] * np.int32(side)
        index += cells[:, :, 0]
        index += (np.arange(m, dtype=np.int32) * np.int32(side * side))[:, None, None, None]
        flat = index.reshape(-1)
        counts[part] = np.bincount(flat, minlength=m * side * side).reshape(m, -1)
        if addresses:
            sums[part] = np.bincount(flat, weights[: len(flat)], m * side * side).reshape(m, -1)
    inner = (values.reshape(-1, side, side)[:, 1:-1, 1:-1] for values in (counts, sums))
    return next(inner), next(inner)


def paint(counts: np.ndarray, sums: np.ndarray, u: np.ndarray, colour: bool, background: bool, out: np.ndarray) -> None:
    """Colour counted points into `out`, uint8 (n, S, S, 3).

    counts int32 and sums float32 (n, S, S) as from `count_points`; u (n, 142) decides patch, shades and colours. Pixels
    are handled as bytes R G B 0 in one uint32, and written plane by plane, which NumPy does fastest.
    """
    patch = np.ones((len(u), 2, 2), dtype=np.int32)
    # Half of the images draw single pixels, the others a random part of a 2×2 patch with its first pixel.
    patch[:, 0, 1], patch[:, 1, 0], patch[:, 1, 1] = ((u[:, 1:4] < 0.5) & (u[:, :1] < 0.5)).T
    counts = _stamp(counts, patch)
    steps = _shades(counts, 0.7 * u[:, 4])
    value = 0.5 + 0.5 * u[:, 5]
    if colour:  # the place in a cosine palette is a pixel's mean address; `spread` is the arc of hues in turns
        sums = _stamp(sums, patch.astype(np.float32))
        mean = sums / np.maximum(counts, np.int32(1)).astype(np.float32)
        steps += (mean * np.float32(HUES)).astype(np.int64).clip(0, HUES - 1) * (SHADES + 1)
        hue, spread, saturation = u[:, 6], 1.4 * (u[:, 7] - 0.5), 0.3 + 0.7 * u[:, 8]
        turn = hue[:, None] + spread[:, None] * np.linspace(0, 1, HUES)  # (n, HUES)
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (turn[..., None] + np.array([0.0, 1 / 3, 2 / 3])))
        palette = value[:, None, None] * (1.0 - saturation[:, None, None] * (1.0 - wave))  # (n, HUES, 3)
    else:
        palette = np.repeat(value[:, None, None], 3, axis=2)
    shades = np.arange(SHADES + 1, dtype=np.float32) * np.float32(255 / SHADES)
    table = np.zeros((*palette.shape[:2], SHADES + 1, 4), dtype=np.uint8)  # every hue at every brightness
    table[..., :3] = palette.astype(np.float32)[:, :, None] * shades[:, None] + np.float32(0.5)
    packed = _look_up(table.view("<u4").reshape(len(u), -1), steps)
    if background:
        packed = np.where(counts > 0, packed, _behind(counts.shape[1], u, colour))
    planes = packed.astype("<u4", copy=False).view(np.uint8).reshape(*packed.shape, 4)
    for channel in range(3):
        out[..., channel] = planes[..., channel]


def _stamp(values: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Draw a small patch at each point instead of one pixel: (n, S, S), patch (n, 2, 2) of 0 and 1, same dtype."""
    out = values * patch[:, 0, 0, None, None]
    out[:, :, 1:] += values[:, :, :-1] * patch[:, 0, 1, None, None]
    out[:, 1:] += values[:, :-1] * patch[:, 1, 0, None, None]
    out[:, 1:, 1:] += values[:, :-1, :-1] * patch[:, 1, 1, None, None]
    return out


def _shades(counts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Brightness from density: counts int32 (n, S, S), depth (n,) → steps int64 (n, S, S) in 0 … SHADES.

    0 means that no point fell here; otherwise brightness is steps / SHADES, from 1 − depth to 1 by log density.
    """
    capped = np.minimum(counts, np.int32(COUNTS - 1))
    level = np.log1p(np.arange(COUNTS))
    top = level[np.maximum(capped.max(axis=(1, 2)), 1)]  # (n,)
    shade = 1.0 - depth[:, None] * np.maximum(1.0 - level / top[:, None], 0.0)
    steps = np.rint(shade * SHADES).astype(np.int64).clip(1)  # (n, COUNTS)
    steps[:, 0] = 0
    return _look_up(steps, capped)


def _look_up(table: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Each pixel's entry in its picture's table: (n, E), int (n, S, S) → (n, S, S)."""
    offset = (np.arange(len(steps)) * table.shape[1])[:, None, None]
    found: np.ndarray = table.reshape(-1).take(steps + offset)
    return found


def _behind(size: int, u: np.ndarray, colour: bool) -> np.ndarray:
    """Backgrounds, packed uint32 (n, S, S): plain colour + linear gradient + smooth noise, grey unless `colour`.

    Half of them are without gradient, half without noise, which is interpolated from a coarse grid.
    """
    n, cells = len(u), NOISE_CELLS
    strength = np.where(u[:, 10:12] < 0.5, 0.0, 2 * u[:, 10:12] - 1)
    base = 0.7 * (u[:, 12:15] if colour else np.repeat(u[:, 12:13], 3, axis=1))
    tilt = u[:, 16:22].reshape(-1, 2, 3) if colour else np.repeat(u[:, 16:18, None], 3, axis=2)
    slope = (2 * tilt - 1) * strength[:, :1, None] * 0.8  # change from edge to edge, down and across
    grid = 2 * u[:, 24 : 24 + cells * cells].reshape(-1, cells, cells) - 1
    line = (np.arange(size) + 0.5) / size
    tent = np.maximum(1 - np.abs((line * (cells - 1))[:, None] - np.arange(cells)), 0)  # (S, cells), rows sum to 1
    # picture[c] = left[c] · right: columns of noise, one of the value at the row's start, one of the slope across.
    left = np.empty((n, 3, size, cells + 2), dtype=np.float32)
    left[..., :cells] = (255 * (0.4 * strength[:, 1])[:, None, None] * np.matmul(tent, grid))[:, None]
    left[..., cells] = 255 * (base[..., None] + slope[:, 0, :, None] * (line - 0.5)) + 0.5
    left[..., cells + 1] = 255 * slope[:, 1, :, None]
    right = np.concatenate([tent.T, np.ones((1, size)), (line - 0.5)[None]]).astype(np.float32)
    picture = np.matmul(left.reshape(n, 3 * size, -1), right).reshape(n, 3, size, size)
    np.clip(picture, np.float32(0), np.float32(255), out=picture)
    bytes_ = np.zeros((n, size, size, 4), dtype=np.uint8)
    for channel in range(3):
        bytes_[..., channel] = picture[:, channel]
    return bytes_.view("<u4")[..., 0]
