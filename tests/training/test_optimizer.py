"""What is decayed, at what rate each layer learns, and the update itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from vitascope.models.bit import BiT
from vitascope.models.catalogue import create_model
from vitascope.models.vit import ViT
from vitascope.training.optimizer import (
    clip_gradients,
    decay_kernels,
    layer_of,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
)
from vitascope.training.train_settings import TrainSettings

SMALL: dict[str, Any] = {"width": 16, "heads": 2, "hidden": 24, "depth": 3, "classes": 5}
MODELS: dict[str, dict[str, Any]] = {
    "ViT-Ti/16": {**SMALL, "image_size": 32, "representation_size": 16, "registers": 2, "layer_scale": 0.1},
    "R26+ViT-S/32": {**SMALL, "image_size": 64},
    "BiT-R50x1": {"image_size": (32, 32), "base_width": 32, "units": (1, 1, 1, 1), "classes": 5},
}


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> ViT | BiT:
    return create_model(request.param, **MODELS[request.param])


def test_every_parameter_is_in_exactly_one_group(model: ViT | BiT) -> None:
    grouped = [id(p) for group in parameter_groups(model, 0.1, 0.7) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def test_kernels_alone_are_decayed(model: ViT | BiT) -> None:
    decayed = {id(p) for group in parameter_groups(model, 0.1, 1.0) if group["decay"] for p in group["params"]}
    for name, parameter in model.named_parameters():
        # Said by shape, not by type: a kernel is a matrix or a convolution's, and no table of tokens or positions.
        kernel = name.endswith(".weight") and parameter.ndim in (2, 4)
        assert (id(parameter) in decayed) == kernel, name
    assert len(decayed) > 5
    assert {group["decay"] for group in parameter_groups(model, 0.1, 1.0)} == {0.0, 0.1}


def test_norms_biases_tokens_and_positions_are_not_decayed() -> None:
    model = create_model("ViT-Ti/16", **MODELS["ViT-Ti/16"])
    free = {id(p) for group in parameter_groups(model, 0.1, 1.0) if not group["decay"] for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in free}
    for part in ("class_token", "position", "register", "norm", "bias", "scale"):
        assert any(part in name for name in names), part


def test_each_layer_learns_at_its_share_of_the_next_ones_rate() -> None:
    model = create_model("ViT-Ti/16", **MODELS["ViT-Ti/16"])
    scale = {id(p): group["scale"] for group in parameter_groups(model, 0.1, 0.5) for p in group["params"]}
    expected = {"patches.": 0.5**4, "embedding.": 0.5**4, "encoder.norm": 1.0, "head.": 1.0}
    expected |= {f"encoder.blocks.{i}.": 0.5 ** (3 - i) for i in range(3)}
    seen = set()
    for name, parameter in model.named_parameters():
        (prefix,) = (p for p in expected if name.startswith(p))
        assert scale[id(parameter)] == pytest.approx(expected[prefix]), name
        seen.add(prefix)
    assert seen == set(expected)


def test_a_hybrids_stem_counts_as_what_is_before_the_blocks() -> None:
    model = create_model("R26+ViT-S/32", **MODELS["R26+ViT-S/32"])
    stem = [name for name, _ in model.named_parameters() if name.startswith("stem.")]
    assert stem
    assert {layer_of(name, 3) for name in stem} == {0}


def test_stages_of_a_resnet_are_its_layers() -> None:
    model = create_model("BiT-R50x1", **MODELS["BiT-R50x1"])
    layers = {name: layer_of(name, 4) for name, _ in model.named_parameters()}
    assert {layers[name] for name in layers if name.startswith("stages.2.")} == {3}
    assert {layers[name] for name in layers if name.startswith("head")} == {5}
    assert set(layers.values()) == {0, 1, 2, 3, 4, 5}


def gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_adam_with_decoupled_decay_equals_torch_adamw_step_for_step() -> None:
    ours = create_model("ViT-Ti/16", **SMALL, image_size=32)
    theirs = copy.deepcopy(ours)
    settings = TrainSettings(steps=1, lr=0.01, weight_decay=0.3, betas=(0.8, 0.95))
    optimizer = make_optimizer(ours, settings)
    groups = parameter_groups(theirs, 0.3, 1.0)
    reference = torch.optim.AdamW(
        [{"params": g["params"], "weight_decay": g["decay"]} for g in groups], lr=0.01, betas=(0.8, 0.95)
    )
    for step in range(6):
        rate = 0.01 * (step + 1)
        set_learning_rate(optimizer, rate)
        for group in reference.param_groups:
            group["lr"] = rate
        gradients(ours, step)
        gradients(theirs, step)
        decay_kernels(optimizer)
        optimizer.step()
        reference.step()
        for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=f"{name} after step {step}")


def test_sgd_has_momentum_and_decay_apart_from_it() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    optimizer = make_optimizer(layer, TrainSettings(steps=1, optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.5))
    w, momentum = 2.0, 0.0
    for gradient in (1.0, -0.5, 3.0):
        layer.weight.grad = torch.full((1, 1), gradient)
        decay_kernels(optimizer)
        optimizer.step()
        momentum = 0.9 * momentum + gradient
        w = w * (1 - 0.1 * 0.5) - 0.1 * momentum
        assert layer.weight.item() == pytest.approx(w, rel=1e-6)


def test_the_scheduled_rate_is_scaled_by_group() -> None:
    model = create_model("ViT-Ti/16", **SMALL, image_size=32)
    optimizer = make_optimizer(model, TrainSettings(steps=1, layer_decay=0.5))
    set_learning_rate(optimizer, 0.8)
    assert {round(g["lr"], 9) for g in optimizer.param_groups} == {0.8, 0.4, 0.2, 0.1, 0.05}


def test_clipping_bounds_the_norm_of_all_gradients_together() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    gradients(model, 0)
    before = torch.cat([p.grad.flatten() for p in model.parameters()])
    norm = clip_gradients(model, 0.5)
    after = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert float(norm) == pytest.approx(float(before.norm()), rel=1e-6)
    assert float(after.norm()) == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(after / after.norm(), before / before.norm())


@pytest.mark.parametrize("largest", [0.0, 1000.0])
def test_gradients_within_the_bound_and_without_a_bound_stay(largest: float) -> None:
    model = nn.Linear(3, 4)
    gradients(model, 0)
    before = model.weight.grad.clone()
    clip_gradients(model, largest)
    assert torch.equal(model.weight.grad, before)
