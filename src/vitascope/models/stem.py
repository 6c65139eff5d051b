"""The ResNet in front of a hybrid (Section 3.1): v1 bottlenecks with GroupNorm and standardised kernels.

`models_resnet.py` of the official code: SAME padding, GroupNorm of 32 groups, and in every unit the last GroupNorm
starts from zero, so that the unit starts as its shortcut. timm's hybrids differ in what is added to variances.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.layers.convolution import StdConv2d, bottleneck_stages, max_pool_same
from vitascope.layers.recompute import in_turn
from vitascope.models.config import StemConfig


def _convolution(c: StemConfig, inputs: int, outputs: int, kernel: int, stride: int = 1) -> StdConv2d:
    return StdConv2d(inputs, outputs, kernel, stride, rule=c.kernel_rule, eps=c.kernel_eps, padding="same")


def _norm(c: StemConfig, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=c.norm_eps)


class Unit(nn.Module):
    """Bottleneck 1×1, 3×3 (with the stride), 1×1, each followed by GroupNorm; ReLU after the sum."""

    def __init__(self, c: StemConfig, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1, self.norm1 = _convolution(c, inputs, width, 1), _norm(c, width)
        self.conv2, self.norm2 = _convolution(c, width, width, 3, stride), _norm(c, width)
        self.conv3, self.norm3 = _convolution(c, width, outputs, 1), _norm(c, outputs)
        changes = inputs != outputs or stride != 1
        self.shortcut = _convolution(c, inputs, outputs, 1, stride) if changes else None
        self.shortcut_norm = _norm(c, outputs) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        kept = x
        if self.shortcut is not None and self.shortcut_norm is not None:
            kept = self.shortcut_norm(self.shortcut(x))
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return F.relu(self.norm3(self.conv3(x)) + kept)


class Stem(nn.Module):
    """Root and stages, (B, C, H, W) → (B, channels, H/stride, W/stride)."""

    def __init__(self, config: StemConfig, channels: int) -> None:
        super().__init__()
        width, self.pools = config.root_channels, not config.small_images
        kernel, stride = (7, 2) if self.pools else (3, 1)
        self.root = _convolution(config, channels, width, kernel, stride)
        self.root_norm = _norm(config, width)
        self.stages, _ = bottleneck_stages(partial(Unit, config), width, config.units)

    def forward(self, x: Tensor, *, recompute: bool = False) -> Tensor:
        x = F.relu(self.root_norm(self.root(x)))
        if self.pools:
            x = max_pool_same(x)
        for stage in self.stages:
            x = in_turn(cast(nn.Sequential, stage), x, recompute=recompute)
        return x
