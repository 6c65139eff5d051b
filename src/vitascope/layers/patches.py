"""Cutting the image into patches and projecting them: x_p E of Section 3.1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.config import Size, ViTConfig


class Patches(nn.Module):
    """Linear projection E of flattened P×P patches, (B, C, H, W) → (B, N, D), row by row.

    Cutting, flattening and multiplying by E is a convolution with stride P, which is how the official code
    writes it (`models_vit.py`, "embedding"). For a hybrid, C is the depth of the stem's feature map.
    """

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        channels = c.stem.channels if c.stem else c.channels
        self.projection = nn.Conv2d(channels, c.width, kernel_size=c.patch, stride=c.patch, bias=not c.norm_before)

    def forward(self, x: Tensor) -> Tensor:
        x = self.projection(x)  # (B, D, H/P, W/P)
        return x.flatten(2).transpose(1, 2)  # (B, N, D)


class NormedPatches(Patches):
    """With a LayerNorm over each patch's pixels before E and one over each token after it, as vit-pytorch has."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__(c)
        self.patch = c.patch
        values = c.patch**2 * self.projection.in_channels
        self.norm_pixels = nn.LayerNorm(values, eps=c.norm_eps)
        self.norm_token = nn.LayerNorm(c.width, eps=c.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.norm_pixels(patchify(x, self.patch))  # (B, N, P·P·C)
        return self.norm_token(super().forward(unpatchify(pixels, self.patch, (x.shape[2], x.shape[3]))))


def check_images(images: Tensor, channels: int) -> None:
    """Raises `ConfigError` for what is no batch of normalised images (B, C, H, W) with so many channels."""
    shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != channels or _empty(images):
        raise ConfigError(f"images are {shape}, expected a tensor (1 or more, {channels}, height, width)")
    if not images.is_floating_point():
        raise ConfigError(f"images are {images.dtype}, expected normalised floats; use checkpoint.preprocess(image)")


def _empty(images: Tensor) -> bool:
    return not torch.compiler.is_compiling() and not len(images)  # an export is for any number of them


def patch_grid(image_size: Size, patch: int) -> Size:
    """Rows and columns of patches of an H×W image; raises `ConfigError` unless both sides divide by `patch`."""
    height, width = image_size
    if height < patch or width < patch or height % patch or width % patch:
        down = [max(side // patch, 1) * patch for side in image_size]
        up = [-(-side // patch) * patch for side in image_size]
        near = " or ".join(dict.fromkeys(f"{h}×{w}" for h, w in (down, up)))
        raise ConfigError(f"image of {height}×{width} pixels, but sides must be multiples of {patch}: use {near}")
    return height // patch, width // patch


def patchify(images: Tensor, patch: int) -> Tensor:
    """Flattened patches themselves, (B, C, H, W) → (B, N, P·P·C), for those who want Eq. 1's x_p."""
    b, c, height, width = images.shape
    rows, columns = patch_grid((height, width), patch)
    x = images.reshape(b, c, rows, patch, columns, patch)
    x = torch.einsum("bcrpsq->brspqc", x)
    return x.reshape(b, rows * columns, patch * patch * c)


def unpatchify(patches: Tensor, patch: int, image_size: Size) -> Tensor:
    """The images whose `patchify` it is, (B, N, P·P·C) → (B, C, H, W)."""
    rows, columns = image_size[0] // patch, image_size[1] // patch
    x = patches.reshape(patches.shape[0], rows, columns, patch, patch, -1)
    return torch.einsum("brspqc->bcrpsq", x).flatten(4).flatten(2, 3)
