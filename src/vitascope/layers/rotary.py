"""Rotary positions (Su et al., 2021) in two dimensions, as in DINOv3: queries and keys turn by their patch's place."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vitascope.layers.config import Size, ViTConfig

TEMPERATURE = 100.0
"""The longest period over the shortest, nearly; in all that is published."""


def turns_of(grid: Size, d: int, prefix: int) -> Tensor:
    """Cosines and sines of each token's angles, float32 (2, T, d): a quarter of d by row, one by column, both twice.

    Rows and columns run from −1 to 1 over the image, whatever its size, so that there is nothing to resize. The first
    `prefix` tokens do not turn.
    """
    y, x = (2 * (torch.arange(side, dtype=torch.float32) + 0.5) / side - 1 for side in grid)
    places = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)  # (N, 2)
    frequency = 1 / TEMPERATURE ** torch.arange(0, 1, 4 / d, dtype=torch.float32)  # (d/4,)
    angles = (2 * math.pi * places[:, :, None] * frequency).flatten(1).tile(2)  # (N, d)
    angles = torch.cat([angles.new_zeros(prefix, d), angles])
    return torch.stack([angles.cos(), angles.sin()])


def turned(x: Tensor, turns: Tensor) -> Tensor:
    """(B, h, T, d) turned by (2, T, d): channel i and i + d/2 are a pair."""
    cos, sin = turns
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


class Rotary(nn.Module):
    """`turns_of` any grid, computed once."""

    def __init__(self, c: ViTConfig) -> None:
        super().__init__()
        self.d, self.prefix = c.inner // c.heads, c.prefix
        self._kept: dict[Size, Tensor] = {}

    def forward(self, grid: Size) -> Tensor:
        """(2, T, d)."""
        if grid not in self._kept:
            with torch.inference_mode(False), torch.no_grad():
                self._kept[grid] = turns_of(grid, self.d, self.prefix)
        return self._kept[grid]
