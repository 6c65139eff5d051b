"""Images of any kind as pixels to draw: files, arrays, and what a model is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from vitascope.data.images import ImageLike, UInt8, read_image
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError

Images = Tensor | ImageLike | Sequence[ImageLike]
"""(B, C, H, W) or (C, H, W) as a model is given them; paths, encoded bytes, Pillow images, uint8 (H, W[, 3])."""
_LARGEST = 512
"""Side in pixels beyond which a figure shows no more of an image."""


def as_pixels(images: Images, preprocess: Preprocess | None, grid: tuple[int, int]) -> list[UInt8]:
    """uint8 (H, W, 3) of each image, as a model with a patch `grid` of (rows, columns) sees it.

    `preprocess` says what of an image that is; without, its middle of the grid's shape is taken, and numbers of tensors
    are shown from their smallest, black, to their largest, white. Raises ImageError, `ConfigError`.
    """
    if isinstance(images, Tensor):
        if images.ndim not in (3, 4):
            raise ConfigError(f"images of shape {tuple(images.shape)}, expected (B, C, H, W)")
        batch = images.detach().float().cpu()
        return [_of_tensor(image, preprocess) for image in (batch if images.ndim == 4 else batch[None])]
    single = isinstance(images, str | Path | bytes | Image.Image) or (
        isinstance(images, np.ndarray) and images.ndim < 4
    )
    several: Sequence[ImageLike] = [images] if single else images  # type: ignore[assignment,list-item]
    if preprocess is not None:
        return [as_rgb(preprocess.pixels(image)) for image in several]
    return [_middle(read_image(image), grid) for image in several]


def _of_tensor(image: Tensor, preprocess: Preprocess | None) -> UInt8:
    if preprocess is None:
        low, high = float(image.min()), float(image.max())
        restored = (255 * (image - low) / max(high - low, 1e-12)).round().clamp(0, 255).byte()
    else:
        restored = preprocess.restored(image)
    pixels: UInt8 = restored.permute(1, 2, 0).numpy()
    return as_rgb(pixels)


def as_rgb(pixels: UInt8) -> UInt8:
    """uint8 (H, W, C) → (H, W, 3), for showing: the first three channels, or the first alone as grey."""
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _middle(pixels: UInt8, grid: tuple[int, int]) -> UInt8:
    """The middle of the grid's shape, no larger than a figure shows."""
    height, width = pixels.shape[:2]
    scale = min(height / grid[0], width / grid[1])
    h, w = round(scale * grid[0]), round(scale * grid[1])
    top, left = (height - h) // 2, (width - w) // 2
    part = Image.fromarray(pixels[top : top + h, left : left + w])
    part.thumbnail((_LARGEST, _LARGEST))
    return np.asarray(part)
