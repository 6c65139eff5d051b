"""Pooling and the head."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vitascope.layers.config import ViTConfig
from vitascope.layers.head import Head, LinearHead


def head(**fields: Any) -> Head:
    return Head(ViTConfig(**{"width": 6, "heads": 1, "classes": 0, **fields}))


def test_pooling() -> None:
    z = torch.tensor([[[7.0], [9.0], [1.0], [3.0]]])  # class token, a register, two patches
    for pooling, expected in {"token": [7.0], "mean": [2.0], "token+mean": [7.0, 2.0]}.items():
        assert head(pooling=pooling, registers=1).pool(z).tolist() == [expected]


@pytest.mark.parametrize("activation", ["gelu", "tanh"])
def test_the_pretraining_head_is_an_mlp_with_one_hidden_layer(activation: str) -> None:
    torch.manual_seed(0)
    made = head(classes=4, representation_size=5, representation_activation=activation, gelu="erf")
    z = torch.randn(3, 1, 6)
    assert made.hidden is not None
    assert made.linear is not None
    nonlinear = torch.tanh if activation == "tanh" else torch.nn.functional.gelu
    torch.testing.assert_close(made.features(z), nonlinear(made.hidden(z[:, 0])))
    torch.testing.assert_close(made(z), made.linear(made.features(z)))


def test_without_classes_the_features_come_out() -> None:
    z = torch.randn(2, 1, 6)
    assert torch.equal(head()(z), z[:, 0])
    assert torch.equal(LinearHead(6, 0)(z), z)


def test_a_norm_of_its_own_after_the_pooling() -> None:
    z = torch.randn(4, 3, 6)
    expected = torch.nn.functional.layer_norm(z[:, 1:].mean(1), (6,), eps=1e-6)
    torch.testing.assert_close(head(norm="pooled", pooling="mean")(z), expected)
