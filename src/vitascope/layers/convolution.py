"""Convolutions of the hybrid stem and of the BiT-ResNet: weight standardisation and TensorFlow's SAME padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's SAME: output ⌈n/stride⌉; an odd pixel goes to the right and the bottom (7×7/2 at 224: 2, 3)."""

    def amounts(n: int) -> tuple[int, int]:
        total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        return total // 2, total - total // 2

    top, bottom = amounts(x.shape[-2])
    left, right = amounts(x.shape[-1])
    return F.pad(x, (left, right, top, bottom), value=value) if top + bottom + left + right else x


class StdConv2d(nn.Conv2d):
    """Convolution whose kernel is standardised over (in, height, width) per output channel (Qiao et al., 2019).

    `rule="std"` divides by (std + eps), as the stem of the official ViT hybrids does; `rule="variance"` by
    √(variance + eps), as BiT and timm do. `padding="same"` pads as TensorFlow, `"explicit"` by kernel // 2 on all
    sides. Never a bias.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, rule: str, eps: float, padding: str
    ) -> None:
        super().__init__(
            inputs, outputs, kernel, stride, padding=kernel // 2 if padding == "explicit" else 0, bias=False
        )
        self.rule, self.eps, self.same = rule, eps, padding == "same"

    def standardised(self) -> Tensor:
        """The kernel as it is used, (out, in, k, k)."""
        w = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
        centred = w - w.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        if self.rule == "std":
            return centred / (variance.sqrt() + self.eps)
        return centred * torch.rsqrt(variance + self.eps)

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            x = pad_same(x, self.kernel_size[0], self.stride[0])
        return F.conv2d(x, self.standardised().to(x.dtype), None, self.stride, self.padding)


def bottleneck_stages(
    unit: Callable[[int, int, int], nn.Module], width: int, units: Sequence[int]
) -> tuple[nn.ModuleList, int]:
    """The stages of a ResNet after a root of `width` channels, and the channels they end with (He et al., 2016).

    `unit(inputs, width, stride)` makes one bottleneck, which gives four times its width. Every stage but the first
    doubles the width and halves the map in its first unit; `units` says how many each has.
    """
    stages, inputs = nn.ModuleList(), width
    for stage, count in enumerate(units):
        size = width * 2**stage
        row: list[nn.Module] = []
        for number in range(count):
            row.append(unit(inputs, size, 2 if number == 0 and stage > 0 else 1))
            inputs = 4 * size
        stages.append(nn.Sequential(*row))
    return stages, inputs


def max_pool_same(x: Tensor) -> Tensor:
    """3×3 max pooling with stride 2 and SAME padding, which never wins over a pixel."""
    return F.max_pool2d(pad_same(x, 3, 2, value=-torch.inf), kernel_size=3, stride=2)
