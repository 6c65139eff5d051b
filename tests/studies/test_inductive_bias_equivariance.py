"""Equivariance errors where they are known: exact zeros of convolutions and MLPs, and what is not equivariant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiny_checkpoint import checkpoint
from vitascope.errors import ConfigError
from vitascope.models.config import BiTConfig, StemConfig, ViTConfig
from vitascope.studies.inductive_bias.equivariance import (
    Comparison,
    Equivariance,
    change,
    errors_alone,
    shifted,
    windows,
)
from vitascope.studies.inductive_bias.maps import Layer, layers_of, predictions, watch

VIT = ViTConfig(image_size=(32, 32), patch=8, width=16, depth=2, heads=2, hidden=24, classes=3)
HYBRID = replace(VIT, patch=1, stem=StemConfig(units=(1, 1), width_factor=0.5))
BIT = BiTConfig(image_size=(64, 64), units=(1, 1, 1, 1), base_width=32, small_images=True, classes=3)
ZERO = 1e-10


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def convolution(stride: int = 1, circular: bool = False) -> tuple[nn.Conv2d, Layer]:
    torch.manual_seed(0)
    module = nn.Conv2d(3, 5, 3, stride, padding=1, padding_mode="circular" if circular else "zeros")
    return module, Layer(name="conv", kind="convolution", module=module, stride=stride, reduces=stride, depth=0.0)


def error(model: nn.Module, layer: Layer, images: Tensor, shift: int, circular: bool = False) -> float:
    room = 0 if circular else 8
    size = images.shape[2] - room, images.shape[3] - room
    seen = Equivariance(model, [layer], [shift], size)
    seen.add(images, circular=circular)
    found = seen.errors(layer)[shift]
    assert found is not None
    return found


@pytest.mark.parametrize("shift", [1, 3, 8])
@pytest.mark.parametrize("circular", [False, True])
def test_a_convolution_is_equivariant(shift: int, circular: bool) -> None:
    """Turned round with circular padding everywhere; in windows wherever zero padding does not reach."""
    model, layer = convolution(circular=circular)
    assert error(model, layer, noise(2, 3, 24, 24), shift, circular) < ZERO


@pytest.mark.parametrize("circular", [False, True])
def test_a_stride_is_equivariant_to_its_multiples_only(circular: bool) -> None:
    model, layer = convolution(stride=4, circular=circular)
    images = noise(4, 3, 40, 40)
    assert error(model, layer, images, 4, circular) < ZERO
    assert error(model, layer, images, 8, circular) < ZERO
    assert error(model, layer, images, 1, circular) > 0.1
    assert error(model, layer, images, 6, circular) > 0.1


def test_padding_is_an_error_where_it_shows() -> None:
    """Two convolutions of nine pixels, which pad deeper than the border that is left out."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 9, padding=4))
    layer = Layer(name="wide", kind="convolution", module=model[0], stride=1)
    assert error(model, layer, noise(2, 3, 24, 24), 4) > 1e-3


def test_unrelated_maps_err_by_one() -> None:
    class Fresh(nn.Module):
        """New noise at every call."""

        def __init__(self) -> None:
            super().__init__()
            self.random = torch.Generator().manual_seed(1)

        def forward(self, x: Tensor) -> Tensor:
            return 7 + torch.randn(x.shape, generator=self.random)

    model = Fresh()
    layer = Layer(name="noise", kind="convolution", module=model, stride=1)
    assert error(model, layer, noise(8, 3, 40, 40), 3) == pytest.approx(1, rel=0.02)


def test_the_yardstick_is_the_mean_over_all_pairs() -> None:
    places, got, expected = noise(7, 4), noise(3, 4, seed=1), noise(3, 4, seed=2)
    comparison = Comparison()
    comparison.add(got[:2], expected[:2], places[:4])
    comparison.add(got[2:], expected[2:], places[4:])
    pairs = torch.cdist(places.double(), places.double()).square().sum() / (7 * 6)
    assert comparison.error() == pytest.approx(float((got - expected).square().sum(1).mean() / pairs), rel=1e-6)


def test_where_nothing_differs_nothing_can_be_said() -> None:
    constant = torch.full((5, 3), 0.1)
    assert change(constant, constant) is None
    assert change(noise(1, 3), noise(1, 3)) is None, "one image has no other to differ from"
    assert Comparison().error() is None
    assert change(noise(5, 3), noise(5, 3)) == 0


def test_fractions_of_a_cell_are_interpolated() -> None:
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    plane = (2 * rows + 3 * columns)[None, None]
    torch.testing.assert_close(shifted(plane, 1.25), plane[..., :4, :4] + 1.25 * 5)
    assert torch.equal(shifted(plane, 2), plane[..., 2:, 2:])
    assert torch.equal(shifted(plane, 2, circular=True), plane.roll((-2, -2), (-2, -1)))
    with pytest.raises(ConfigError, match="map of 6×6 cells"):
        shifted(plane, 5.5)


def test_windows_show_the_same_pixels() -> None:
    larger = noise(1, 1, 12, 11)
    first, second = windows(larger, (8, 8), 3)
    assert torch.equal(first[..., 3:, 3:], second[..., :5, :5])
    with pytest.raises(ConfigError, match="leave room for 3 pixels"):
        windows(larger, (8, 8), 4)


@pytest.mark.parametrize("config", [VIT, replace(VIT, class_token=False, pooling="mean")])
def test_without_positions_all_of_a_vit_turns_round_with_its_image(config: ViTConfig) -> None:
    model = checkpoint(replace(config, positions="none")).model
    layers = layers_of(model)
    seen = Equivariance(model, layers, [1, 8, 16], config.image_size)
    seen.add(noise(3, 3, 32, 32), circular=True)
    for layer in layers:
        by_shift = seen.errors(layer)
        assert by_shift[8] is not None
        assert by_shift[8] < ZERO
        assert by_shift[16] is not None
        assert by_shift[16] < ZERO
        assert by_shift[1] is not None
        assert by_shift[1] > 0.01
    (before, after), *_ = seen.outputs[8]
    torch.testing.assert_close(before, after)


def test_positions_break_it_from_the_embedding_on() -> None:
    model = checkpoint(VIT).model
    layers = layers_of(model)
    seen = Equivariance(model, layers, [8], VIT.image_size)
    seen.add(noise(3, 3, 32, 32), circular=True)
    errors = [seen.errors(layer)[8] or 0.0 for layer in layers]
    assert errors[0] < ZERO, "the patches do not know where they are"
    assert min(errors[1:]) > 1e-4


@pytest.mark.parametrize("config", [VIT, HYBRID, BIT], ids=["ViT", "hybrid", "BiT"])
def test_by_itself_each_kind_of_layer_is_what_the_paper_says(config: ViTConfig | BiTConfig) -> None:
    model = checkpoint(config).model
    layers = layers_of(model)
    side, step = config.image_size[0], config.pixels_per_token
    # Smooth pictures, unlike at different places, so that GroupNorm's statistics differ between windows.
    larger = F.interpolate(noise(3, 3, 7, 7), size=(side + step, side + step), mode="bilinear")
    natural = errors_alone(model, layers, larger, step)
    fixed = errors_alone(model, layers, larger, step, fixed=True)
    for layer, error_natural, error_fixed in zip(layers, natural, fixed, strict=True):
        assert error_natural is not None
        assert error_fixed is not None
        if layer.kind in ("convolution", "patches"):
            assert error_fixed < ZERO, layer.name
            assert (error_natural < ZERO) == ("unit" not in layer.name), "GroupNorm's statistics are not local"
        elif layer.kind == "mlp":
            assert error_natural < ZERO, layer.name
        else:  # attention, the sum after it, and positions
            assert error_natural == error_fixed > 1e-4, layer.name


def test_layers_are_named_and_placed_in_order() -> None:
    hybrid = layers_of(checkpoint(HYBRID).model)
    assert [layer.name for layer in hybrid] == [
        "stem root",
        "stem unit 1.1",
        "stem unit 2.1",
        "patches",
        "embedding",
        "block 1 attention",
        "block 1 MLP",
        "block 1",
        "block 2 attention",
        "block 2 MLP",
        "block 2",
    ]
    sixth = [0, 1, 2, 3, 4, 5, 5, 5, 6, 6, 6]
    assert [layer.depth for layer in hybrid] == pytest.approx([n / 6 for n in sixth])
    assert [layer.stride for layer in hybrid] == [2, 4, 8, *[8] * 8]
    bit = layers_of(checkpoint(replace(BIT, small_images=False)).model)
    assert [(layer.stride, layer.reduces) for layer in bit] == [(2, 2), (4, 1), (8, 2), (16, 2), (32, 2)]
    with pytest.raises(ConfigError, match="a Linear has no maps by layer"):
        layers_of(nn.Linear(2, 2))


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
            torch.testing.assert_close(seen.layer.alone(seen.before, seen.first), seen.after)
        head = model.head.linear
        assert head is not None
        guesses = predictions(model, features)
        assert guesses is not None
        assert torch.equal(guesses, model(images).argmax(1))
        head.weight.zero_()
    assert predictions(model, features) is None, "a head of zeros predicts nothing"


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    model = checkpoint(HYBRID).model
    images = noise(2, 3, 40, 40)
    with torch.no_grad():
        before = model(images[..., :32, :32])
        model.train(training)
        layers = layers_of(model)
        Equivariance(model, layers, [1, 8], (32, 32)).add(images)
        errors_alone(model, layers, images, 8, fixed=True)
        with pytest.raises(ConfigError, match="sides must be multiples of 8"):
            watch(model, layers, images[..., :33])
        assert {module.training for module in model.modules()} == {training}
        assert not any(module._forward_hooks for module in model.modules())
        assert torch.equal(model.eval()(images[..., :32, :32]), before)


def test_what_cannot_be_shifted_is_refused_or_left_open() -> None:
    model = checkpoint(VIT).model
    layers = layers_of(model)
    for shifts in ([], [0], [32]):
        with pytest.raises(ConfigError, match="expected 1 to less than a side"):
            Equivariance(model, layers, shifts, (32, 32))
    with pytest.raises(ConfigError, match="no multiple of 8, the cells of patches"):
        errors_alone(model, layers, noise(2, 3, 40, 40), 4)
    small = checkpoint(replace(VIT, image_size=(8, 8))).model
    single = layers_of(small)
    seen = Equivariance(small, single, [4], (8, 8))
    seen.add(noise(2, 3, 16, 16))
    assert seen.errors(single[0]) == {4: None}, "one cell cannot be shifted"
    assert errors_alone(small, single, noise(2, 3, 16, 16), 8)[0] is None
    bit = checkpoint(replace(BIT, image_size=(16, 16))).model
    found = errors_alone(bit, layers_of(bit), noise(2, 3, 24, 24), 8, fixed=True)
    assert found[-1] is None, "padding reaches all of a map of two cells a side"
    assert max(error or 0.0 for error in found[:-2]) < ZERO
