"""Which patches of an image are hidden, what stands in their place, and what there is to say of them (B.1.2).

Shapes: B images, N patches of P×P×C, of them m hidden and n shown.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vitascope.data.source import Int64
from vitascope.layers.patches import patchify
from vitascope.models.masked_config import CELLS, LEVELS

MASKED, REPLACED = 0.8, 0.1
"""Of the hidden patches: become the [mask] embedding, another patch's; the rest stay as they are (B.1.2)."""


def parted(images: int, patches: int, hidden: int, rng: np.random.Generator) -> tuple[Int64, Int64]:
    """Places of the hidden patches (B, m), and of all others (B, n), each image's drawn anew."""
    order = np.argsort(rng.random((images, patches)), axis=1, kind="stable")
    return order[:, :hidden], order[:, hidden:]


def corrupted(hidden: Int64, patches: int, rng: np.random.Generator) -> Int64:
    """Whose embedding stands in each place, (B, N), where those at `hidden` (B, m) are corrupted; N is the mask's."""
    kind = rng.random(hidden.shape)
    other = rng.integers(0, patches - 1, hidden.shape)
    other += other >= hidden  # any but itself
    shown = np.tile(np.arange(patches), (len(hidden), 1))
    standing = np.where(kind < MASKED, patches, np.where(kind < MASKED + REPLACED, other, hidden))
    np.put_along_axis(shown, hidden, standing, axis=1)
    return shown


def patches_at(images: Tensor, places: Tensor, patch: int) -> Tensor:
    """The flattened patches of (B, C, H, W) at `places` (B, m), (B, m, P·P·C)."""
    patches = patchify(images, patch)
    return patches.gather(1, places[:, :, None].expand(-1, -1, patches.shape[2]))


def normalised(patches: Tensor) -> Tensor:
    """Each patch less its mean, over its deviation (arXiv 2111.06377), (…, P·P·C) floats of the same shape."""
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def colours(patches: Tensor, channels: int, cells: int = 1) -> Tensor:
    """Mean colours of uint8 patches in 3 bits a channel, (…, P·P·C) → classes int64 (…, cells²), red first.

    Whole numbers all the way, so that no mean falls on the wrong side of a level's end.
    """
    side = int((patches.shape[-1] // channels) ** 0.5) // cells
    x = patches.long().reshape(*patches.shape[:-1], cells, side, cells, side, channels)
    x = x.sum(dim=(-4, -2))  # (…, cells, cells, C)
    levels = x * LEVELS // (256 * side**2)
    weights = LEVELS ** torch.arange(channels - 1, -1, -1, device=x.device)
    return (levels * weights).sum(-1).flatten(-2)


def reduced(patches: Tensor, channels: int) -> Tensor:
    """Colours of the 4×4 reduction of uint8 patches, (…, P·P·C) → int64 (…, 16)."""
    return colours(patches, channels, CELLS)
