"""The ResNet baseline, "ResNet (BiT)" of Section 4.1: pre-activation (v2), GroupNorm, standardised kernels.

As in `bit_pytorch/models.py`: explicit padding, zero-padded before the pooling of the root, GroupNorm with eps
1e-5, √(variance + eps) in the standardisation, and a final GroupNorm and ReLU before the global mean.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.layers.convolution import StdConv2d, bottleneck_stages
from vitascope.layers.head import LinearHead
from vitascope.layers.patches import check_images
from vitascope.layers.recompute import in_turn
from vitascope.models.config import BiTConfig


def _convolution(c: BiTConfig, inputs: int, outputs: int, kernel: int, stride: int = 1) -> StdConv2d:
    return StdConv2d(inputs, outputs, kernel, stride, rule="variance", eps=c.kernel_eps, padding="explicit")


class Unit(nn.Module):
    """Pre-activation bottleneck; the shortcut's projection sees the activated input."""

    def __init__(self, c: BiTConfig, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.norm1, self.conv1 = nn.GroupNorm(32, inputs), _convolution(c, inputs, width, 1)
        self.norm2, self.conv2 = nn.GroupNorm(32, width), _convolution(c, width, width, 3, stride)
        self.norm3, self.conv3 = nn.GroupNorm(32, width), _convolution(c, width, outputs, 1)
        self.shortcut = _convolution(c, inputs, outputs, 1, stride) if inputs != outputs or stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        y = self.conv1(active)
        y = self.conv2(F.relu(self.norm2(y)))
        y = self.conv3(F.relu(self.norm3(y)))
        return y + kept


class BiT(nn.Module):
    """Images (B, C, H, W) → logits (B, K); `recompute` as of a ViT, for training."""

    def __init__(self, config: BiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.root_channels
        kernel, stride = (3, 1) if config.small_images else (7, 2)
        self.root = _convolution(config, config.channels, width, kernel, stride)
        self.stages, inputs = bottleneck_stages(partial(Unit, config), width, config.units)
        self.norm = nn.GroupNorm(32, inputs)
        self.head = LinearHead(inputs, config.classes)

    def forward(self, images: Tensor, *, recompute: bool = False) -> Tensor:
        return self.head(self.features(images, recompute=recompute))

    def features(self, images: Tensor, *, recompute: bool = False) -> Tensor:
        """Global mean of the last feature map, (B, C, H, W) → (B, D')."""
        return self.tokens(images, recompute=recompute).mean(dim=1)

    def tokens(self, images: Tensor, *, recompute: bool = False) -> Tensor:
        """Cells of the last feature map, row by row, (B, C, H, W) → (B, N, D)."""
        check_images(images, self.config.channels)
        x = self.root(images)
        if not self.config.small_images:
            x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), kernel_size=3, stride=2)
        for stage in self.stages:
            x = in_turn(cast(nn.Sequential, stage), x, recompute=recompute)  # (B, channels, H/stride, W/stride)
        return F.relu(self.norm(x)).flatten(2).transpose(1, 2)
