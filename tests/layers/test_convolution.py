"""TensorFlow's SAME padding and both rules of weight standardisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vitascope.layers.convolution import StdConv2d, bottleneck_stages, max_pool_same, pad_same


def test_same_padding_puts_the_odd_pixel_right_and_below() -> None:
    # 224 pixels under 7×7 with stride 2: 112 outputs need 5 more pixels, 2 before and 3 behind.
    padded = pad_same(torch.ones(1, 1, 224, 224), kernel=7, stride=2)
    assert padded.shape[-2:] == (229, 229)
    assert padded[0, 0, 100].nonzero().flatten()[[0, -1]].tolist() == [2, 225]


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (5, 7, 2), (9, 1, 2), (6, 3, 1)])
def test_same_padding_gives_the_rounded_up_size(size: int, kernel: int, stride: int) -> None:
    padded = pad_same(torch.ones(1, 1, size, size), kernel, stride)
    assert (padded.shape[-1] - kernel) // stride + 1 == -(-size // stride)


def test_max_pooling_never_lets_the_padding_win() -> None:
    assert (max_pool_same(torch.full((1, 1, 6, 6), -5.0)) == -5).all()


@pytest.mark.parametrize("rule", ["std", "variance"])
def test_kernels_are_standardised(rule: str) -> None:
    torch.manual_seed(0)
    conv = StdConv2d(3, 4, 3, rule=rule, eps=1e-5 if rule == "std" else 1e-10, padding="same")
    w = conv.weight.detach().double().numpy()
    mean = w.mean(axis=(1, 2, 3), keepdims=True)
    divisor = w.std(axis=(1, 2, 3), keepdims=True) + 1e-5
    if rule == "variance":
        divisor = np.sqrt(w.var(axis=(1, 2, 3), keepdims=True) + 1e-10)
    np.testing.assert_allclose(conv.standardised().detach().numpy(), (w - mean) / divisor, rtol=1e-4, atol=1e-6)


def test_the_two_rules_differ_where_kernels_are_small() -> None:
    rules = (("std", 1e-5), ("variance", 1e-10))
    kernels = [StdConv2d(2, 2, 3, rule=rule, eps=eps, padding="same") for rule, eps in rules]
    for conv in kernels:
        torch.nn.init.constant_(conv.weight, 0.0)
        with torch.no_grad():
            conv.weight[0, 0, 0, 0] = 1e-4
    assert (kernels[0].standardised() - kernels[1].standardised()).abs().max() > 0.1


def test_explicit_padding_is_symmetric() -> None:
    conv = StdConv2d(1, 1, 3, stride=2, rule="variance", eps=1e-10, padding="explicit")
    assert conv(torch.zeros(1, 1, 9, 9)).shape[-1] == 5
    assert conv.padding == (1, 1)


def test_stages_double_the_width_and_halve_the_map_but_the_first() -> None:
    made: list[tuple[int, int, int]] = []

    def unit(inputs: int, width: int, stride: int) -> nn.Module:
        made.append((inputs, width, stride))
        return nn.Identity()

    stages, channels = bottleneck_stages(unit, 16, (2, 1, 2))
    assert made == [(16, 16, 1), (64, 16, 1), (64, 32, 2), (128, 64, 2), (256, 64, 1)]
    assert [len(stage) for stage in stages] == [2, 1, 2]
    assert channels == 256
    assert bottleneck_stages(unit, 16, ())[1] == 16  # the root alone
