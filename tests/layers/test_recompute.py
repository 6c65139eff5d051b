"""Activation checkpointing: the same numbers to the last bit, and less kept between the passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from kept import kept
from vitascope.layers.recompute import Chain, checkpoint_activations
from vitascope.models.bit import BiT
from vitascope.models.catalogue import create_model
from vitascope.models.vit import ViT

FIELDS: dict[str, Any] = {"width": 32, "heads": 2, "hidden": 48, "depth": 4, "classes": 3}
DRAWN: dict[str, Any] = {"dropout": 0.2, "stochastic_depth": 0.5}
MODELS: dict[str, dict[str, Any]] = {
    "ViT-Ti/8": {**FIELDS, **DRAWN, "image_size": 32},
    "R26+ViT-S/32": {**FIELDS, **DRAWN, "image_size": 64},
    "BiT-R50x1": {"image_size": (32, 32), "base_width": 32, "units": (2, 1), "classes": 3},
}


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> ViT | BiT:
    made = create_model(request.param, **MODELS[request.param], generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(made.head.linear.weight, std=0.1)  # a zero head would leave no gradient for the rest
    return made.train()


def passes(model: ViT | BiT, dtype: torch.dtype | None = None) -> tuple[Tensor, list[Tensor], int]:
    """Logits, gradients, and the bytes that the forward pass kept besides the parameters."""
    torch.manual_seed(5)
    images = torch.randn(4, 3, *model.config.image_size)
    model.zero_grad()
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        logits, held = kept(model, lambda: model(images))
    logits.float().square().sum().backward()
    return logits.detach(), [p.grad.clone() for p in model.parameters()], held


def test_gradients_are_the_same_to_the_last_bit_with_dropout(model: ViT | BiT) -> None:
    logits, gradients, held = passes(model)
    checkpoint_activations(model)
    logits_again, gradients_again, held_again = passes(model)
    assert torch.equal(logits, logits_again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, gradients_again, strict=True))
    assert held_again < held
    checkpoint_activations(model, False)
    assert passes(model)[2] == held


def test_the_same_in_bfloat16() -> None:
    model = create_model("ViT-Ti/8", **MODELS["ViT-Ti/8"])
    logits, gradients, _ = passes(model, torch.bfloat16)
    checkpoint_activations(model)
    logits_again, gradients_again, _ = passes(model, torch.bfloat16)
    assert logits.dtype == torch.bfloat16
    assert torch.equal(logits, logits_again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, gradients_again, strict=True))


def test_a_vit_keeps_one_input_a_block() -> None:
    held = {}
    for depth in (2, 6):
        model = create_model("ViT-Ti/8", **{**MODELS["ViT-Ti/8"], "depth": depth}).train()
        checkpoint_activations(model)
        held[depth] = passes(model)[2]
    tokens = 4 * 17 * 32 * 4  # bytes of (B, T, D)
    per_block = (held[6] - held[2]) / 4
    assert tokens <= per_block < 1.5 * tokens  # and the state of the generator


def test_the_weights_are_those_of_a_model_without_it(model: ViT | BiT) -> None:
    plain = copy.deepcopy(model)
    checkpoint_activations(model)
    assert list(model.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(model.state_dict())


def test_every_block_is_run_twice_in_training_and_once_without_gradients(model: ViT | BiT) -> None:
    runs: list[str] = []
    chains = [m for m in model.modules() if isinstance(m, Chain)]
    blocks = [n for n, m in model.named_modules() if type(m).__name__ in ("Block", "Unit")]
    for name, module in model.named_modules():
        if name in blocks:
            module.register_forward_pre_hook(lambda _, __, name=name: runs.append(name))
    checkpoint_activations(model)
    assert chains
    assert all(chain.recompute for chain in chains)
    with torch.no_grad():
        model(torch.zeros(1, 3, *model.config.image_size))
    assert sorted(runs) == sorted(blocks) != []
    runs.clear()
    passes(model)
    assert sorted(runs) == sorted(blocks * 2)
