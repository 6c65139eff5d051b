"""Activation checkpointing: the same numbers to the last bit, and less kept between the passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kept import kept
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


def passes(
    model: ViT | BiT, dtype: torch.dtype | None = None, recompute: bool = False
) -> tuple[Tensor, list[Tensor], int]:
    """Logits, gradients, and the bytes that the forward pass kept besides the parameters."""
    torch.manual_seed(5)
    images = torch.randn(4, 3, *model.config.image_size)
    model.zero_grad()
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        logits, held = kept(model, lambda: model(images, recompute=recompute))
    logits.float().square().sum().backward()
    return logits.detach(), [p.grad.clone() for p in model.parameters()], held


def test_gradients_are_the_same_to_the_last_bit_with_dropout(model: ViT | BiT) -> None:
    logits, gradients, held = passes(model)
    logits_again, gradients_again, held_again = passes(model, recompute=True)
    assert torch.equal(logits, logits_again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, gradients_again, strict=True))
    assert held_again < held


def test_the_same_in_bfloat16() -> None:
    model = create_model("ViT-Ti/8", **MODELS["ViT-Ti/8"])
    logits, gradients, _ = passes(model, torch.bfloat16)
    logits_again, gradients_again, _ = passes(model, torch.bfloat16, recompute=True)
    assert logits.dtype == torch.bfloat16
    assert torch.equal(logits, logits_again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, gradients_again, strict=True))


def test_a_vit_keeps_one_input_a_block() -> None:
    held = {}
    for depth in (2, 6):
        model = create_model("ViT-Ti/8", **{**MODELS["ViT-Ti/8"], "depth": depth}).train()
        held[depth] = passes(model, recompute=True)[2]
    tokens = 4 * 17 * 32 * 4  # bytes of (B, T, D)
    per_block = (held[6] - held[2]) / 4
    assert tokens <= per_block < 1.5 * tokens  # and the state of the generator


def test_every_block_is_run_twice_in_training_and_once_without_gradients(model: ViT | BiT) -> None:
    runs: list[str] = []
    blocks = [n for n, m in model.named_modules() if type(m).__name__ in ("Block", "Unit")]
    for name, module in model.named_modules():
        if name in blocks:
            module.register_forward_pre_hook(lambda _, __, name=name: runs.append(name))
    with torch.no_grad():
        model(torch.zeros(1, 3, *model.config.image_size), recompute=True)
    assert sorted(runs) == sorted(blocks) != []
    runs.clear()
    passes(model, recompute=True)
    assert sorted(runs) == sorted(blocks * 2)
