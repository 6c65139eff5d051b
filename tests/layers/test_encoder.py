"""Equations 2 and 3, LayerScale and stochastic depth."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from vitascope.layers.config import ViTConfig
from vitascope.layers.encoder import Block, Encoder, LayerScale, Mlp, StochasticDepth

SMALL = ViTConfig(width=12, heads=3, hidden=24, depth=1)


def test_block_is_equations_2_and_3() -> None:
    torch.manual_seed(0)
    block = Block(SMALL).eval()
    z = torch.randn(2, 5, 12)
    z1 = block.attention(block.norm1(z)) + z
    torch.testing.assert_close(block(z), block.mlp(block.norm2(z1)) + z1)


@pytest.mark.parametrize("form", ["tanh", "erf"])
def test_gelu_form(form: str) -> None:
    mlp = Mlp(ViTConfig(width=4, heads=1, hidden=4, gelu=form))  # type: ignore[arg-type]
    for layer in (mlp.fc1, mlp.fc2):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.tensor([-1.0, -0.5, 0.5, 2.0])
    if form == "erf":
        expected = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    else:
        expected = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    torch.testing.assert_close(mlp(x), expected)


def test_layer_scale_multiplies_each_channel() -> None:
    scale = LayerScale(3, 0.1)
    torch.testing.assert_close(scale(torch.ones(1, 2, 3)), torch.full((1, 2, 3), 0.1))


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = StochasticDepth(0.25)
    out = drop(torch.ones(4000, 3, 2))
    per_image = out.flatten(1)
    assert all(len(set(row.tolist())) == 1 for row in per_image[:50])
    assert sorted(set(per_image[:, 0].tolist())) == [0.0, pytest.approx(4 / 3)]
    assert float(out.mean()) == pytest.approx(1.0, abs=0.03)
    assert torch.equal(drop.eval()(torch.ones(5, 3, 2)), torch.ones(5, 3, 2))


def test_the_rate_grows_linearly_from_zero() -> None:
    encoder = Encoder(replace(SMALL, depth=5, stochastic_depth=0.2))
    assert [round(block.drop.rate, 4) for block in encoder.blocks] == [0.0, 0.05, 0.1, 0.15, 0.2]  # type: ignore[union-attr]


@pytest.mark.parametrize("depth", [1, 3])
def test_the_first_tokens_alone_are_the_first_of_all_with_the_same_gradients(depth: int) -> None:
    torch.manual_seed(0)
    encoder = Encoder(replace(SMALL, depth=depth, layer_scale=0.5)).double()
    x = torch.randn(2, 7, 12, dtype=torch.float64, requires_grad=True)
    inputs = [x, *encoder.parameters()]
    weight = torch.randn(2, 2, 12, dtype=torch.float64)
    alone, all_of_them = encoder(x, 2), encoder(x)[:, :2]
    torch.testing.assert_close(alone, all_of_them)
    for one, other in zip(
        torch.autograd.grad((alone * weight).sum(), inputs),
        torch.autograd.grad((all_of_them * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("how", ["adapter", "hook"])
def test_what_was_put_around_qkv_counts_where_few_tokens_come_out_too(how: str) -> None:
    torch.manual_seed(0)
    block = Block(SMALL)
    x, plain = torch.randn(2, 5, 12), copy.deepcopy(block)
    if how == "adapter":
        block.attention.qkv = nn.Sequential(block.attention.qkv, nn.Linear(36, 36))  # type: ignore[assignment]
    else:
        block.attention.qkv.register_forward_hook(lambda _, __, out: 2 * out)
    torch.testing.assert_close(block(x, 1), block(x)[:, :1])
    assert not torch.allclose(block(x, 1), plain(x, 1))
