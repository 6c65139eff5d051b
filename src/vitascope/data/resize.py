"""Geometry on 8-bit images: one resampling function under evaluation, prediction and augmentation.

Shapes: H, W a source image, h, w the result, C channels. A box is (left, top, right, bottom) in source
pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

RESAMPLING: dict[str, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Filter names of this package → Pillow's filters."""

Box = tuple[float, float, float, float]


def to_pillow(array: np.ndarray) -> Image.Image:
    """uint8 (H, W, 1) or (H, W, 3) → grey or RGB Pillow image."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def to_array(image: Image.Image) -> np.ndarray:
    """Grey or RGB Pillow image → its own writable uint8 (H, W, 1) or (H, W, 3)."""
    array = np.array(image, dtype=np.uint8)
    return array[:, :, None] if array.ndim == 2 else array


def resample(
    array: np.ndarray,
    size: tuple[int, int],
    *,
    box: Box | None = None,
    interpolation: Interpolation = "bilinear",
    antialias: bool = True,
    reducing_gap: float | None = None,
    quick: bool = False,
) -> np.ndarray:
    """Resamples a box of a uint8 (H, W, C) image to uint8 (h, w, C), size = (h, w).

    antialias=True is Pillow: the filter widens with the reduction, and near the edge of a box it still sees
    the pixels outside, so resampling a box equals resizing the whole image and then cropping, at less cost
    and with memory bounded by the result. antialias=False is TensorFlow's `tf.image.resize` (half-pixel
    centres, two taps per axis, edges repeated), rounded to 8 bits; "nearest" is the same in both.
    reducing_gap lets Pillow average whole pixels first while that many times the result remain: faster on
    large images, values differ by a level or two. quick, of a whole image and for training: within two levels, three
    times as fast, by PyTorch's 8-bit kernel, which does the same sums with weights of 16 bits, where it has the filter;
    the result's channels are then planes in memory, as a batch wants them.
    """
    height, width, channels = array.shape
    whole = (0.0, 0.0, float(width), float(height))
    box = whole if box is None else box
    if box == whole and size == (height, width):
        return array
    if not antialias and interpolation == "bilinear":
        return _bilinear_two_taps(array, size, box)
    if quick and antialias and box == whole and interpolation in ("bilinear", "bicubic"):
        return _resample_quickly(array, size, interpolation)
    if channels not in (1, 3):  # Pillow would read 4 channels as colour with transparency
        planes = [
            resample(array[:, :, c : c + 1], size, box=box, interpolation=interpolation, reducing_gap=reducing_gap)
            for c in range(channels)
        ]
        return np.concatenate(planes, axis=2)
    h, w = size
    return to_array(to_pillow(array).resize((w, h), RESAMPLING[interpolation], box=box, reducing_gap=reducing_gap))


def _resample_quickly(array: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    import torch  # here, because what only lists data must do without it

    if not array.flags.writeable:
        array = array.copy()  # PyTorch knows no read-only memory
    planes = torch.from_numpy(array).permute(2, 0, 1)[None]
    result = torch.nn.functional.interpolate(planes, size=size, mode=mode, antialias=True)
    return result[0].permute(1, 2, 0).numpy()


def _taps(length: int, start: float, stop: float, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `count` outputs over [start, stop): lower and upper source index, weight of the upper."""
    centre = start + (np.arange(count) + 0.5) * ((stop - start) / count) - 0.5
    lower = np.floor(centre)
    weight = (centre - lower).astype(np.float32)
    index = lower.astype(np.int64)
    return index.clip(0, length - 1), (index + 1).clip(0, length - 1), weight


def _bilinear_two_taps(array: np.ndarray, size: tuple[int, int], box: Box) -> np.ndarray:
    """Bilinear without antialiasing, the resize of the official input pipeline (input_pipeline.py)."""
    left, top, right, bottom = box
    channels = array.shape[2]
    x0, x1, fx = _taps(array.shape[1], left, right, size[1])
    y0, y1, fy = _taps(array.shape[0], top, bottom, size[0])
    blend_x, blend_y = np.repeat(fx, channels)[None, :], fy[:, None]  # over (h, w·C)

    def blended_columns(rows: np.ndarray) -> np.ndarray:
        # Bytes are gathered before anything becomes float: memory and time follow the result, not the image.
        needed = array.take(rows, axis=0)  # (h, W, C)
        first = needed.take(x0, axis=1).reshape(len(rows), -1).astype(np.float32)  # (h, w·C)
        second = needed.take(x1, axis=1).reshape(len(rows), -1).astype(np.float32)
        second -= first
        second *= blend_x
        second += first
        return second

    above, result = blended_columns(y0), blended_columns(y1)
    result -= above
    result *= blend_y
    result += above
    np.rint(result, out=result)
    return result.astype(np.uint8).reshape(*size, channels)


def covered(target: tuple[int, int], fraction: float) -> tuple[int, int]:
    """What an image is at least resized to before the middle (h, w) is kept: that over `fraction`, rounded down."""
    # The small term keeps 224 / (224 / 248) at 248.
    return int(target[0] / fraction + 1e-6), int(target[1] / fraction + 1e-6)


def fit_box(source: tuple[int, int], target: tuple[int, int], fraction: float, *, keep_ratio: bool) -> Box:
    """The box of a (H, W) image that becomes a (h, w) one, whatever its shape.

    The image is thought resized, to (h, w) / fraction rounded down, either squashed (keep_ratio=False) or
    so that it just covers that (keep_ratio=True, the longer side rounded down); the middle (h, w) of it is
    kept, rounding to the upper left. Returns that middle in source pixels. fraction in (0, 1].
    """
    height, width = source
    inner = covered(target, fraction)
    if keep_ratio:
        if inner[0] * width >= inner[1] * height:  # the height decides
            inner = (inner[0], max(inner[1], int(inner[0] * width / height)))
        else:
            inner = (max(inner[0], int(inner[1] * height / width)), inner[1])
    top, left = (inner[0] - target[0]) // 2, (inner[1] - target[1]) // 2
    scale_y, scale_x = height / inner[0], width / inner[1]
    return (
        left * scale_x,
        top * scale_y,
        min((left + target[1]) * scale_x, float(width)),
        min((top + target[0]) * scale_y, float(height)),
    )
