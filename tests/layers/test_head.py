"""Pooling and the head."""

from __future__ import annotations

import pytest
import torch

from vitascope.layers.head import Head, pool


def test_pooling() -> None:
    tokens = torch.tensor([[[7.0], [9.0], [1.0], [3.0]]])  # class token, a register, two patches
    assert pool(tokens, 2, "token").tolist() == [[7.0]]
    assert pool(tokens, 2, "mean").tolist() == [[2.0]]
    assert pool(tokens, 2, "token+mean").tolist() == [[7.0, 2.0]]


@pytest.mark.parametrize("activation", ["gelu", "tanh"])
def test_the_pretraining_head_is_an_mlp_with_one_hidden_layer(activation: str) -> None:
    torch.manual_seed(0)
    head = Head(6, 4, representation_size=5, representation_activation=activation, gelu="erf")
    x = torch.randn(3, 6)
    assert head.hidden is not None
    assert head.linear is not None
    nonlinear = torch.tanh if activation == "tanh" else torch.nn.functional.gelu
    torch.testing.assert_close(head.features(x), nonlinear(head.hidden(x)))
    torch.testing.assert_close(head(x), head.linear(head.features(x)))


def test_without_classes_the_features_come_out() -> None:
    x = torch.randn(2, 6)
    assert torch.equal(Head(6, 0)(x), x)


def test_a_norm_of_its_own_after_the_pooling() -> None:
    x = torch.randn(4, 6)
    torch.testing.assert_close(Head(6, 0, norm_eps=1e-6)(x), torch.nn.functional.layer_norm(x, (6,), eps=1e-6))
