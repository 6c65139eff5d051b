"""Receptive fields where they are known: convolutions by the formula, a patch, one cell, the whole image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tiny_checkpoint import checkpoint, noise
from vitascope.models.config import BiTConfig, StemConfig, ViTConfig
from vitascope.studies.inductive_bias.layers import Layer, layers_of
from vitascope.studies.inductive_bias.receptive_field import (
    energy_of,
    extent_of,
    extents_alone,
    radius_of,
    receptive_fields,
)

VIT = ViTConfig(image_size=(32, 48), patch=8, width=16, depth=2, heads=2, hidden=24, classes=3)


def box(field: dict[str, float | None]) -> tuple[float | None, float | None]:
    return field["field_rows"], field["field_columns"]


@pytest.mark.parametrize("strides", [(1, 1, 1, 1), (2, 2, 2), (1, 2, 1, 2)])
def test_stacks_of_convolutions_by_the_formula(strides: tuple[int, ...]) -> None:
    """Each layer adds (kernel − 1) times the stride before it; with stride 1, n layers see 2n + 1 pixels."""
    torch.manual_seed(0)
    modules = [nn.Conv2d(3, 3, 3, stride, padding=1) for stride in strides]
    layers, expected, stride, extent = [], [], 1, 1
    for module, by in zip(modules, strides, strict=True):
        extent, stride = extent + 2 * stride, stride * by
        expected.append((extent, extent))
        layers.append(Layer(name="conv", kind="convolution", module=module, stride=stride, reduces=by))
    found = receptive_fields(nn.Sequential(*modules), layers, [noise(1, 3, 48, 48)])
    assert [box(field) for field in found] == expected
    if set(strides) == {1}:
        assert [side for side, _ in expected] == [3, 5, 7, 9]
    radii = [field["field_radius"] for field in found]
    assert radii == sorted(radii)


@pytest.mark.parametrize(
    ("config", "side", "expected"),
    [
        # Root 3; each unit adds 2 at the stride of its input.
        (BiTConfig(units=(2, 1, 1, 1), base_width=32, small_images=True), 64, [3, 5, 7, 9, 13, 21]),
        # Root 7, pooling 3 at stride 2 → 11; then units at stride 4, 4 (which halves), 8.
        (BiTConfig(units=(1, 1, 1, 1), base_width=32), 128, [7, 19, 27, 43, 75]),
        (ViTConfig(patch=1, width=16, depth=1, heads=2, hidden=8, stem=StemConfig(units=(1, 1))), 64, [7, 19, 27]),
        (
            ViTConfig(patch=1, width=16, depth=1, heads=2, hidden=8, stem=StemConfig(units=(1, 1), small_images=True)),
            32,
            [3, 5, 7],
        ),
    ],
    ids=["BiT for small images", "BiT", "stem", "stem for small images"],
)
def test_residual_networks_by_the_formula(config: BiTConfig | ViTConfig, side: int, expected: list[int]) -> None:
    """GroupNorm's statistics reach further, but are held fixed."""
    config = replace(config, image_size=(side, side))
    model = checkpoint(config).model
    layers = [layer for layer in layers_of(model) if layer.kind == "convolution"]
    found = receptive_fields(model, layers, [noise(2, 3, side, side)])
    assert [box(field) for field in found] == [(n, n) for n in expected]


def test_a_vit_sees_its_patch_and_after_one_attention_everything() -> None:
    model = checkpoint(VIT).model
    names = [layer.name for layer in layers_of(model)]
    found = dict(zip(names, receptive_fields(model, layers_of(model), [noise(2, 3, 32, 48)]), strict=True))
    assert box(found["patches"]) == box(found["embedding"]) == (8, 8)
    # An even energy of a patch of P pixels has the radius √((P² − 1)/6); weights at random are near that.
    assert found["patches"]["field_radius"] == pytest.approx((63 / 6) ** 0.5, rel=0.15)
    for name in ("block 1 attention", "block 1 MLP", "block 1", "block 2"):
        assert box(found[name]) == (32, 48), name
    assert found["block 1"]["field_radius"] > found["embedding"]["field_radius"]


def test_an_mlp_on_the_embedding_sees_its_own_patch() -> None:
    model = checkpoint(replace(VIT, class_token=False, pooling="mean")).model
    images = noise(2, 3, 32, 48).requires_grad_()
    tokens = model.embedding(model.patches(images), (4, 6))
    after = model.encoder.blocks[0].mlp(tokens).transpose(1, 2).reshape(2, -1, 4, 6)
    reached = energy_of(after, images, torch.Generator().manual_seed(0)).sum(0) > 0
    assert reached[16:24, 24:32].all()
    assert reached.sum() == 64


def test_each_layer_alone_in_cells_of_its_input() -> None:
    model = checkpoint(VIT).model
    found = [tuple(each.values()) for each in extents_alone(model, layers_of(model), noise(1, 3, 32, 48))]
    every, one = (4, 6, 4, 6), (1, 1, 4, 6)
    assert found == [(8, 8, 32, 48), one, every, one, every, every, one, every]
    bit = checkpoint(BiTConfig(image_size=(64, 64), units=(1, 1, 1, 1), base_width=32)).model
    alone = extents_alone(bit, layers_of(bit), noise(1, 3, 64, 64))
    assert [(each["alone_rows"], each["alone_columns"]) for each in alone] == [(7, 7), *[(3, 3)] * 4]


def test_radius_and_box_of_known_energies() -> None:
    assert radius_of(torch.ones(9, 9)) == pytest.approx(((81 - 1) / 6) ** 0.5)
    point = torch.zeros(9, 9)
    point[2, 5] = 3.0
    assert radius_of(point) == 0
    pair = point.clone()
    pair[2, 1] = 3.0
    assert radius_of(pair) == pytest.approx(2), "two places four pixels apart, about their middle"
    assert extent_of(pair > 0) == (1, 5)
    assert extent_of(torch.zeros(3, 3, dtype=torch.bool)) == (0, 0)


def test_energy_is_the_squared_jacobian_on_average() -> None:
    """Of a linear layer: the sum over outputs of squared weights."""
    model = nn.Conv2d(2, 4, 3, padding=1, bias=False)
    images = noise(4000, 2, 3, 3).requires_grad_()
    energy = energy_of(model(images), images, torch.Generator().manual_seed(0)).mean(0)
    torch.testing.assert_close(energy, model.weight.detach().double().square().sum((0, 1)), rtol=0.15, atol=0)


def test_every_image_counts_alike_and_gradients_stay_away_from_the_model() -> None:
    model = checkpoint(VIT).model
    layers = layers_of(model)
    images = noise(3, 3, 32, 48)
    with torch.no_grad():
        before = model(images)
    once, parts = receptive_fields(model, layers, [images]), receptive_fields(model, layers, images.split(1))
    assert [box(field) for field in once] == [box(field) for field in parts]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    with torch.no_grad():
        assert torch.equal(model(images), before)
