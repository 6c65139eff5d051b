"""Equivariance errors where they are known: exact zeros of convolutions and MLPs, and what is not equivariant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiny_checkpoint import checkpoint, noise
from vitascope.errors import ConfigError
from vitascope.models.config import BiTConfig, StemConfig, ViTConfig
from vitascope.models.vit import ViT
from vitascope.studies.inductive_bias.equivariance import (
    change,
    error_of,
    errors_alone,
    errors_from_image,
    features_of_reordered_tokens,
    orders,
    shuffled,
    sums,
)
from vitascope.studies.inductive_bias.layers import Layer, layers_of, watch

VIT = ViTConfig(image_size=(32, 32), patch=8, width=16, depth=2, heads=2, hidden=24, classes=3)
HYBRID = replace(VIT, patch=1, stem=StemConfig(units=(1, 1), width_factor=0.5))
BIT = BiTConfig(image_size=(64, 64), units=(1, 1, 1, 1), base_width=32, small_images=True, classes=3)
ZERO = 1e-10


def error(model: nn.Module, module: nn.Module, larger: Tensor, step: int, stride: int = 1) -> float:
    """From the image to a module whose cells are `stride` pixels apart."""
    layer = Layer(name="one", kind="convolution", module=module, stride=stride)
    (found,), _ = errors_from_image(model, [layer], [larger], step)
    assert found["error_step"] is not None
    return found["error_step"]


@pytest.mark.parametrize(("stride", "steps"), [(1, (1, 3, 8)), (4, (4, 8))])
def test_a_convolution_is_equivariant_where_padding_does_not_reach(stride: int, steps: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 5, 3, stride, padding=1)
    for step in steps:
        assert error(model, model, noise(2, 3, 40 + step, 40 + step), step, stride) < ZERO


def test_padding_is_an_error_where_it_shows() -> None:
    """A convolution of nine pixels, which pads deeper than the border that is left out."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 5, 9, padding=4)
    assert error(model, model, noise(2, 3, 24, 24), 4) > 1e-3


def test_unrelated_maps_err_by_one() -> None:
    class Fresh(nn.Module):
        """New noise at every call."""

        def __init__(self) -> None:
            super().__init__()
            self.random = torch.Generator().manual_seed(1)

        def forward(self, x: Tensor) -> Tensor:
            return 7 + torch.randn(x.shape, generator=self.random)

    model = Fresh()
    assert error(model, model, noise(8, 3, 40, 40), 3) == pytest.approx(1, rel=0.02)


def test_the_yardstick_is_the_mean_over_all_pairs() -> None:
    places, got, expected = noise(7, 4), noise(3, 4, seed=1), noise(3, 4, seed=2)
    parts = [sums(got[:2], expected[:2], places[:4]), sums(got[2:], expected[2:], places[4:])]
    pairs = torch.cdist(places.double(), places.double()).square().sum() / (7 * 6)
    assert error_of(parts) == pytest.approx(float((got - expected).square().sum(1).mean() / pairs), rel=1e-6)


def test_where_nothing_differs_nothing_can_be_said() -> None:
    constant = torch.full((5, 3), 0.1)
    assert change(constant, constant) is None
    assert change(noise(1, 3), noise(1, 3)) is None, "one image has no other to differ from"
    assert error_of([]) is None
    assert change(noise(5, 3), noise(5, 3)) == 0


def test_batches_add_up() -> None:
    model = checkpoint(HYBRID).model
    layers, larger = layers_of(model), noise(5, 3, 40, 40)
    for one, other in zip(
        errors_from_image(model, layers, [larger], 8)[0],
        errors_from_image(model, layers, larger.split(2), 8)[0],
        strict=True,
    ):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("config", [VIT, replace(VIT, class_token=False, pooling="mean")])
@pytest.mark.parametrize("positions", ["none", "learned"])
def test_without_positions_all_of_a_vit_turns_round_with_its_image(config: ViTConfig, positions: str) -> None:
    """Positions break it from the embedding on; the patches do not know where they are."""
    model = checkpoint(replace(config, positions=positions)).model
    images, layers = noise(3, 3, 32, 32), layers_of(model)
    with torch.no_grad():
        features, before = watch(model, layers, images)
        turned, after = watch(model, layers, images.roll((-8, -16), (-2, -1)))
    apart = [
        float((a.after - b.after.roll((-1, -2), (-2, -1))).abs().max()) for a, b in zip(after, before, strict=True)
    ]
    assert apart[0] < 1e-5
    assert max(apart) < 1e-4 if positions == "none" else min(apart[1:]) > 1e-3
    assert torch.allclose(features, turned, atol=1e-4) == (positions == "none")


@pytest.mark.parametrize("config", [VIT, HYBRID, BIT], ids=["ViT", "hybrid", "BiT"])
def test_by_itself_each_kind_of_layer_is_what_the_paper_says(config: ViTConfig | BiTConfig) -> None:
    model = checkpoint(config).model
    layers = layers_of(model)
    side, step = config.image_size[0], config.pixels_per_token
    # Smooth pictures, unlike at different places, so that GroupNorm's statistics differ between windows.
    larger = F.interpolate(noise(3, 3, 7, 7), size=(side + step, side + step), mode="bilinear")
    for layer, found in zip(layers, errors_alone(model, layers, larger, step), strict=True):
        natural, fixed = found["error_alone"], found["error_alone_fixed"]
        assert natural is not None
        assert fixed is not None
        if layer.kind in ("convolution", "patches"):
            assert fixed < ZERO, layer.name
            assert (natural < ZERO) == ("unit" not in layer.name), "GroupNorm's statistics are not local"
        elif layer.kind == "mlp":
            assert natural < ZERO, layer.name
        else:  # attention, the sum after it, and positions
            assert natural == fixed > 1e-4, layer.name


def test_layers_are_named_and_placed_in_order() -> None:
    hybrid = layers_of(checkpoint(HYBRID).model)
    blocks = [f"block {n}{part}" for n in (1, 2) for part in (" attention", " MLP", "")]
    stem = ["stem root", "stem unit 1.1", "stem unit 2.1"]
    assert [layer.name for layer in hybrid] == [*stem, "patches", "embedding", *blocks]
    sixth = [0, 1, 2, 3, 4, 5, 5, 5, 6, 6, 6]
    assert [layer.depth for layer in hybrid] == pytest.approx([n / 6 for n in sixth])
    assert [layer.stride for layer in hybrid] == [2, 4, 8, *[8] * 8]
    bit = layers_of(checkpoint(replace(BIT, small_images=False)).model)
    assert [(layer.stride, layer.reduces) for layer in bit] == [(2, 2), (4, 1), (8, 2), (16, 2), (32, 2)]


@pytest.mark.parametrize("config", [replace(VIT, registers=2, image_size=(32, 48)), HYBRID, BIT])
def test_maps_are_what_the_layers_say(config: ViTConfig | BiTConfig) -> None:
    """Each has its cells where its stride says, a layer alone repeats what it did, and features are the model's."""
    model = checkpoint(config).model
    images = noise(2, 3, *config.image_size)
    with torch.no_grad():
        features, watched = watch(model, layers_of(model), images)
        assert torch.equal(features, model.features(images))
        for seen in watched:
            cells = tuple(side // seen.layer.stride for side in config.image_size)
            assert seen.after.shape[2:] == cells
            assert (
                seen.before.shape[2:] == tuple(n * seen.layer.reduces for n in cells) or "unit 1.1" in seen.layer.name
            )
            torch.testing.assert_close(seen.alone(seen.before), seen.after)


def test_nothing_is_left_in_the_model() -> None:
    model = checkpoint(HYBRID).model
    images = noise(2, 3, 40, 40)
    with torch.no_grad():
        before = model(images[..., :32, :32])
        layers = layers_of(model)
        errors_from_image(model, layers, [images], 8)
        errors_alone(model, layers, images, 8)
        with pytest.raises(ConfigError, match="sides must be multiples of 8"):
            watch(model, layers, images[..., :33])
        assert not any(module._forward_hooks for module in model.modules())
        assert torch.equal(model(images[..., :32, :32]), before)


def test_what_is_too_small_to_tell_is_left_open() -> None:
    small = checkpoint(replace(VIT, image_size=(8, 8))).model
    single = layers_of(small)
    larger = noise(2, 3, 16, 16)
    assert errors_from_image(small, single, [larger], 8)[0][0]["error_step"] is None, "one cell cannot be shifted"
    assert errors_alone(small, single, larger, 8)[0]["error_alone"] is None
    bit = checkpoint(replace(BIT, image_size=(16, 16))).model
    found = [each["error_alone_fixed"] for each in errors_alone(bit, layers_of(bit), noise(2, 3, 24, 24), 8)]
    assert found[-1] is None, "padding reaches all of a map of two cells a side"
    assert max(each or 0.0 for each in found[:-2]) < ZERO


def test_pieces_are_the_images_own_in_the_order_drawn() -> None:
    images = noise(2, 3, 8, 12)
    mixed = shuffled(images, 4, seed=3, first=5)
    for n, (image, other) in enumerate(zip(images, mixed, strict=True)):
        places = [(slice(r, r + 4), slice(c, c + 4)) for r in (0, 4) for c in (0, 4, 8)]
        for place, source in zip(places, orders(1, 6, 3, 5 + n)[0], strict=True):
            assert torch.equal(other[:, *place], image[:, *places[source]])
    assert not torch.equal(*orders(2, 6, 3, 5)), "another order for every image"


def test_what_fills_no_piece_stays() -> None:
    images = noise(2, 3, 9, 10)
    mixed = shuffled(images, 4, seed=0)
    assert torch.equal(mixed[..., 8:, :], images[..., 8:, :])
    assert torch.equal(mixed[..., 8:], images[..., 8:])
    assert not torch.equal(mixed, images)


def vit(**fields: object) -> ViT:
    model = checkpoint(replace(VIT, image_size=(16, 24), patch=4, **fields)).model
    assert isinstance(model, ViT)
    return model


@pytest.mark.parametrize("pooling", ["token", "mean"])
@pytest.mark.parametrize("cell", [4, 8])
def test_without_positions_nobody_notices_a_shuffling(pooling: str, cell: int) -> None:
    images, fields = noise(3, 3, 16, 24), {"pooling": pooling, "class_token": pooling == "token"}
    mixed = shuffled(images, cell, seed=1)
    with torch.no_grad():
        without, with_positions = vit(positions="none", **fields), vit(**fields)
        torch.testing.assert_close(without.features(mixed), without.features(images))
        moved = change(with_positions.features(mixed), with_positions.features(images))
    assert moved is not None
    assert moved > 0.01


@pytest.mark.parametrize("fields", [{}, {"registers": 2}, {"pooling": "mean", "class_token": False}])
def test_tokens_that_keep_their_positions_may_stand_anywhere(fields: dict[str, object]) -> None:
    model, images = vit(**fields), noise(3, 3, 16, 24)
    with torch.no_grad():
        before, after = model.features(images), features_of_reordered_tokens(model, images, seed=0)
    torch.testing.assert_close(after, before)
    assert not torch.equal(after, before), "they were reordered"
