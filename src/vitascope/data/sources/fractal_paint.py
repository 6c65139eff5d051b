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
    return _crop(counts, size), _crop(sums, size)


def _crop(values: np.ndarray, size: int) -> np.ndarray:
    inner: np.ndarray = values.reshape(-1, size + 2, size + 2)[:, 1:-1, 1:-1]
    return inner


def stamp(values: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Draw a small patch at each point instead of one pixel: (n, S, S), patch (n, 2, 2) of 0 and 1, same dtype."""
    out = values * patch[:, 0, 0, None, None]
    out[:, :, 1:] += values[:, :, :-1] * patch[:, 0, 1, None, None]
    out[:, 1:] += values[:, :-1] * patch[:, 1, 0, None, None]
    out[:, 1:, 1:] += values[:, :-1, :-1] * patch[:, 1, 1, None, None]
    return out


def shade_steps(counts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Brightness from density: counts int32 (n, S, S), depth (n,) → steps int64 (n, S, S) in 0 … SHADES.

    0 means that no point fell here; otherwise brightness is steps / SHADES, from 1 − depth to 1 by log density.
    """
    capped = np.minimum(counts, np.int32(COUNTS - 1))
    level = np.log1p(np.arange(COUNTS))
    top = level[np.maximum(capped.max(axis=(1, 2)), 1)]  # (n,)
    shade = 1.0 - depth[:, None] * np.maximum(1.0 - level / top[:, None], 0.0)
    steps = np.rint(shade * SHADES).astype(np.int64).clip(1)  # (n, COUNTS)
    steps[:, 0] = 0
    found: np.ndarray = steps.reshape(-1).take(_with_offset(capped, COUNTS))
    return found


def hue_steps(counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Place in the palette from a pixel's mean address: → int64 (n, S, S) in 0 … HUES − 1."""
    mean = sums / np.maximum(counts, np.int32(1)).astype(np.float32)
    steps: np.ndarray = (mean * np.float32(HUES)).astype(np.int64).clip(0, HUES - 1)
    return steps


def palettes(hue: np.ndarray, spread: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Cosine palettes, each argument (n,) → (n, HUES, 3) in [0, 1]; `spread` is the arc of hues in turns."""
    turn = hue[:, None] + spread[:, None] * np.linspace(0, 1, HUES)  # (n, HUES)
    phase = turn[..., None] + np.array([0.0, 1 / 3, 2 / 3])
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    colours: np.ndarray = value[:, None, None] * (1.0 - saturation[:, None, None] * (1.0 - wave))
    return colours


def colour_table(palette: np.ndarray) -> np.ndarray:
    """Every hue at every brightness, packed: (n, H, 3) in [0, 1] → uint32 (n, H · (SHADES + 1)), bytes R G B 0."""
    shades = np.arange(SHADES + 1, dtype=np.float32) * np.float32(255 / SHADES)
    bytes_ = np.zeros((*palette.shape[:2], SHADES + 1, 4), dtype=np.uint8)
    bytes_[..., :3] = palette.astype(np.float32)[:, :, None] * shades[:, None] + np.float32(0.5)
    return bytes_.view("<u4").reshape(len(palette), -1)


def look_up(table: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Each pixel's entry in its picture's table: (n, E), int (n, S, S) → (n, S, S)."""
    found: np.ndarray = table.reshape(-1).take(_with_offset(steps, table.shape[1]))
    return found


def _with_offset(steps: np.ndarray, entries: int) -> np.ndarray:
    shifted: np.ndarray = steps + (np.arange(len(steps)) * entries)[:, None, None]
    return shifted


def backgrounds(size: int, base: np.ndarray, slope: np.ndarray, noise: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Plain colour + linear gradient + smooth noise: packed uint32 (n, S, S), bytes R G B 0.

    base (n, 3) in [0, 1]; slope (n, 2, 3) change from edge to edge, down and across; noise (n,) amplitude;
    grid (n, G, G) in [-1, 1], G = NOISE_CELLS, interpolated linearly.
    """
    n = len(base)
    line = (np.arange(size) + 0.5) / size
    position = line * (NOISE_CELLS - 1)
    tent = np.maximum(1 - np.abs(position[:, None] - np.arange(NOISE_CELLS)), 0)  # (S, G), rows sum to 1
    # picture[c] = left[c] · right: G columns of noise, one of the value at the row's start, one of the slope across.
    left = np.empty((n, 3, size, NOISE_CELLS + 2), dtype=np.float32)
    left[..., :NOISE_CELLS] = (255 * noise[:, None, None] * np.matmul(tent, grid))[:, None]
    left[..., NOISE_CELLS] = 255 * (base[..., None] + slope[:, 0, :, None] * (line - 0.5)) + 0.5
    left[..., NOISE_CELLS + 1] = 255 * slope[:, 1, :, None]
    right = np.concatenate([tent.T, np.ones((1, size)), (line - 0.5)[None]]).astype(np.float32)
    picture = np.matmul(left.reshape(n, 3 * size, -1), right).reshape(n, 3, size, size)
    np.clip(picture, np.float32(0), np.float32(255), out=picture)
    return _pack(picture)


def _pack(picture: np.ndarray) -> np.ndarray:
    bytes_ = np.zeros((len(picture), *picture.shape[2:], 4), dtype=np.uint8)
    for channel in range(3):
        bytes_[..., channel] = picture[:, channel]
    return bytes_.view("<u4")[..., 0]


def unpack(packed: np.ndarray, out: np.ndarray) -> None:
    """Write packed colours uint32 (n, S, S) to `out`, uint8 (n, S, S, 3): plane by plane, which NumPy does fastest."""
    planes = packed.astype("<u4", copy=False).view(np.uint8).reshape(*packed.shape, 4)
    for channel in range(3):
        out[..., channel] = planes[..., channel]
