"""The ResNet baseline, "ResNet (BiT)" of Section 4.1: pre-activation (v2), GroupNorm, standardised kernels.

As in `bit_pytorch/models.py`: explicit padding, zero-padded before the pooling of the root, GroupNorm with eps
1e-5, √(variance + 1e-10) in the standardisation, and a final GroupNorm and ReLU before the global mean.
"""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.convolution import StdConv2d, bottleneck_stages
from vitascope.layers.head import Head
from vitascope.layers.recompute import Chain
from vitascope.models.config import BiTConfig


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> StdConv2d:
    return StdConv2d(inputs, outputs, kernel, stride, rule="variance", padding="explicit")


class Unit(nn.Module):
    """Pre-activation bottleneck; the shortcut's projection sees the activated input."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.norm1, self.conv1 = nn.GroupNorm(32, inputs), _convolution(inputs, width, 1)
        self.norm2, self.conv2 = nn.GroupNorm(32, width), _convolution(width, width, 3, stride)
        self.norm3, self.conv3 = nn.GroupNorm(32, width), _convolution(width, outputs, 1)
        self.shortcut = _convolution(inputs, outputs, 1, stride) if inputs != outputs or stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        y = self.conv1(active)
        y = self.conv2(F.relu(self.norm2(y)))
        y = self.conv3(F.relu(self.norm3(y)))
        return y + kept


class BiT(Chain):
    """Images (B, C, H, W) → logits (B, K)."""

    def __init__(self, config: BiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.root_channels
        self.root = (
            _convolution(config.channels, width, 3)
            if config.small_images
            else _convolution(config.channels, width, 7, 2)
        )
        self.stages, inputs = bottleneck_stages(Unit, width, config.units)
        self.norm = nn.GroupNorm(32, inputs)
        self.head = Head(inputs, config.classes)

    def tokens(self, images: Tensor) -> Tensor:
        """Cells of the last feature map, row by row, (B, C, H, W) → (B, N, D)."""
        if images.ndim != 4 or images.shape[1] != self.config.channels:
            raise ConfigError(
                f"images of shape {tuple(images.shape)}, expected (batch, {self.config.channels}, height, width)"
            )
        x = self.root(images)
        if not self.config.small_images:
            x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), kernel_size=3, stride=2)
        for stage in self.stages:
            x = self.in_turn(cast(nn.Sequential, stage), x)  # (B, channels, H/stride, W/stride)
        return F.relu(self.norm(x)).flatten(2).transpose(1, 2)

    def features(self, images: Tensor) -> Tensor:
        """Global mean of the last feature map, (B, C, H, W) → (B, D')."""
        return self.tokens(images).mean(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))
