"""Cutting the image into patches and projecting them: x_p E of Section 3.1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError

Size = tuple[int, int]


class Patches(nn.Module):
    """Linear projection E of flattened P×P patches, (B, C, H, W) → (B, N, D), row by row.

    Cutting, flattening and multiplying by E is a convolution with stride P, which is how the official code
    writes it (`models_vit.py`, "embedding"). For a hybrid, C is the depth of the stem's feature map.
    """

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.projection = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        x = self.projection(x)  # (B, D, H/P, W/P)
        return x.flatten(2).transpose(1, 2)  # (B, N, D)


def patch_grid(image_size: Size, patch: int) -> Size:
    """Rows and columns of patches of an H×W image; raises `ConfigError` unless both sides divide by `patch`."""
    height, width = image_size
    if height < patch or width < patch or height % patch or width % patch:
        near = " or ".join(f"{h}×{w}" for h, w in _nearest_sizes(image_size, patch))
        raise ConfigError(f"image of {height}×{width} pixels, but sides must be multiples of {patch}: use {near}")
    return height // patch, width // patch


def _nearest_sizes(image_size: Size, patch: int) -> list[Size]:
    down = tuple(max(side // patch, 1) * patch for side in image_size)
    up = tuple(-(-side // patch) * patch for side in image_size)
    return [(down[0], down[1])] + ([(up[0], up[1])] if up != down else [])


def patchify(images: Tensor, patch: int) -> Tensor:
    """Flattened patches themselves, (B, C, H, W) → (B, N, P·P·C), for those who want Eq. 1's x_p."""
    b, c, height, width = images.shape
    rows, columns = patch_grid((height, width), patch)
    x = images.reshape(b, c, rows, patch, columns, patch)
    x = torch.einsum("bcrpsq->brspqc", x)
    return x.reshape(b, rows * columns, patch * patch * c)
