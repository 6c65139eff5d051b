"""Models of masked images: what the encoder sees, what is said of what, and how many weights that takes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kept import kept
from tiny import FIELDS
from vitascope.errors import ConfigError
from vitascope.models.catalogue import create_model
from vitascope.models.initialise import initialise_masked
from vitascope.models.masked import Masked, MaskedAutoencoder, masked_model
from vitascope.models.masked_config import MaskedConfig
from vitascope.models.memory import masked_memory, training_memory
from vitascope.models.vit import ViT

KINDS = [MaskedConfig(), MaskedConfig(autoencoder=False, target="colours"), MaskedConfig(decoder_depth=3)]
PLACES = torch.arange(16)


def vit(**changes: Any) -> ViT:
    made = create_model(
        "ViT-Ti/4",
        **{**FIELDS, "classes": 0, "image_size": 16, **changes},
        generator=torch.Generator().manual_seed(0),
    )
    assert isinstance(made, ViT)
    return made


def around(net: ViT, masked: MaskedConfig) -> Masked:
    made = masked_model(net, masked)
    draw = torch.Generator().manual_seed(1)
    initialise_masked(made, draw)
    said = made.decoder.prediction if isinstance(made, MaskedAutoencoder) else made.prediction
    torch.nn.init.normal_(said.weight, std=0.1, generator=draw)  # zeros would hide the rest
    return made.eval()


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    "changes", [{"qkv_bias": False}, {"class_token": False, "pooling": "mean"}, {"positions": "sincos"}]
)
@pytest.mark.parametrize(
    "changed_too", [{}, {"registers": 2, "norm_before": True}, {"norm": "pooled", "pooling": "mean"}]
)
def test_the_encoder_sees_what_it_would_see_were_the_hidden_patches_not_there(changes: Any, changed_too: Any) -> None:
    net, x = vit(**{**changes, **changed_too}).eval(), images()
    shown = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(i))[:5] for i in range(3)])
    z = net.embedded(x)
    before, patches = z[:, : net.config.prefix], z[:, net.config.prefix :]
    expected = torch.cat([before, patches.gather(1, shown[:, :, None].expand(-1, -1, 32))], dim=1)
    grid = net.config.grid
    torch.testing.assert_close(net.embedding(net.patches(x), grid, seen=shown), expected)
    everything = net.encoder(net.embedding(net.patches(x), grid, seen=PLACES.expand(3, -1)))
    torch.testing.assert_close(everything, net.tokens(x))


def test_what_the_autoencoder_says_depends_on_the_visible_patches_alone() -> None:
    model, x = around(vit(), MaskedConfig()), images()
    hidden, shown = PLACES[:12].expand(3, -1), PLACES[12:].expand(3, -1)
    said = model(x, hidden, shown)
    assert said.shape == (3, 12, 48)
    other = x.clone()
    other[:, :, :12] = 9.0  # the first three rows of patches, all hidden
    torch.testing.assert_close(model(other, hidden, shown), said, rtol=0, atol=0)
    other[:, :, 12:] += 1.0
    assert not torch.allclose(model(other, hidden, shown), said)


def test_what_is_said_stands_in_the_order_asked_for() -> None:
    model, x = around(vit(), MaskedConfig(decoder_depth=2)), images()
    hidden, shown = PLACES[:12].expand(3, -1), PLACES[12:].expand(3, -1)
    said = model(x, hidden, shown)
    torch.testing.assert_close(model(x, hidden.flip(1), shown.flip(1)), said.flip(1), rtol=0, atol=1e-5)
    assert not torch.allclose(said[:, 0], said[:, 1])  # the mask's tokens differ by their positions


def test_masked_patches_are_replaced_before_positions_are_added() -> None:
    net, x = vit(), images(1)
    model = around(net, MaskedConfig(autoencoder=False))
    shown = PLACES.clone()
    shown[3], shown[7] = 16, 2  # the mask, and another patch's
    embedded = net.patches(x)
    embedded[:, 3], embedded[:, 7] = model.mask[:, 0], embedded[:, 2].clone()
    tokens = net.encoder(net.embedding(embedded, net.config.grid))[:, net.config.prefix :]
    asked = torch.tensor([[7, 3, 5]])
    torch.testing.assert_close(model(x, asked, shown[None]), model.prediction(tokens[:, asked[0]]))


@pytest.mark.parametrize("masked", KINDS)
def test_its_parts_are_the_models_own(masked: MaskedConfig) -> None:
    net = vit()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model = around(net, masked)
    assert torch.equal(torch.rand(2), expected)  # what the caller draws is left alone
    own, its = dict(net.named_parameters()), dict(model.named_parameters())
    assert all(its[name] is parameter for name, parameter in own.items())
    assert {name.split(".")[0] for name in its.keys() - own.keys()} <= {"decoder", "mask", "prediction"}
    hidden, shown = PLACES[:12].expand(3, -1), (PLACES[12:] if masked.autoencoder else PLACES).expand(3, -1)
    model(images(), hidden, shown).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())  # several processes wait for each


@pytest.mark.parametrize("masked", KINDS)
def test_initial_values_are_the_seeds_and_predictions_zero(masked: MaskedConfig) -> None:
    states = []
    for other in (4, 5):
        torch.manual_seed(other)
        model = masked_model(vit(), masked)
        initialise_masked(model, torch.Generator().manual_seed(1))
        states.append(model.state_dict())
    torch.testing.assert_close(*states, rtol=0, atol=0)
    zeros = {name for name, tensor in states[0].items() if not tensor.any()}
    assert {name for name in states[0] if "prediction" in name} <= zeros
    assert all(name.endswith("bias") or "prediction" in name or "class_token" in name for name in zeros)


@pytest.mark.parametrize("masked", KINDS)
def test_recomputing_changes_no_gradient(masked: MaskedConfig) -> None:
    hidden, shown = PLACES[:12].expand(3, -1), (PLACES[12:] if masked.autoencoder else PLACES).expand(3, -1)
    found = []
    for recompute in (False, True):
        model = around(vit(), masked).train()
        model(images(), hidden, shown, recompute=recompute).square().mean().backward()
        found.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_memory_is_that_of_the_visible_patches_and_the_decoder() -> None:
    config = dataclasses.replace(vit().config, image_size=(64, 64), width=192, heads=3, hidden=768, depth=6)
    whole = training_memory(config, 64)
    light = masked_memory(config, MaskedConfig(), 64)
    deep = masked_memory(config, MaskedConfig(decoder_depth=8), 64)
    full = masked_memory(config, MaskedConfig(autoencoder=False), 64)
    assert light.activations < 0.5 * whole.activations < full.activations < deep.activations + whole.activations
    assert light.weights > training_memory(config, 64, drop_tokens=0.75).weights
    colours = masked_memory(config, MaskedConfig(autoencoder=False, target="colours"), 64)
    assert colours.activations - full.activations == pytest.approx(4 * 64 * 128 * (16 * 512 - 2 * 48))


@pytest.mark.parametrize("masked", [*KINDS, MaskedConfig(autoencoder=False), MaskedConfig(share=0.5)])
def test_memory_is_what_the_backward_pass_keeps(masked: MaskedConfig) -> None:
    net = vit(width=96, heads=3, hidden=384, depth=4, image_size=32)
    model = around(net, masked).train()
    x, drawn = torch.randn(4, 3, 32, 32), torch.stack([torch.randperm(64) for _ in range(4)])
    count = masked.hidden(64)
    hidden, shown = drawn[:, :count], drawn[:, count:] if masked.autoencoder else drawn

    def loss() -> Tensor:
        said = model(x, hidden, shown)
        if not masked.tells_classes:
            return (said - torch.zeros_like(said)).square().mean()
        return torch.nn.functional.cross_entropy(said.reshape(-1, 512), torch.zeros(said.numel() // 512).long())

    _, held = kept(model, loss)
    predicted = masked_memory(net.config, masked, 4).activations - 4 * 3 * 32 * 32  # the uint8 images
    assert held == pytest.approx(predicted, rel=0.1)


def test_a_step_of_the_autoencoder_is_three_to_four_times_less_work() -> None:
    """Products of a ViT of 6 blocks, 192 wide, on the 64 patches of a small image."""
    sizes = {"width": 192, "heads": 3, "hidden": 768, "depth": 6, "image_size": 32}
    sizes |= {"class_token": False, "pooling": "mean"}  # for the class token alone the last block is less already
    model = around(vit(**sizes), MaskedConfig()).train()
    x, drawn = torch.randn(2, 3, 32, 32), torch.randperm(64).expand(2, -1)
    work = []
    for compute in (lambda: vit(**sizes, classes=100)(x), lambda: model(x, drawn[:, :48], drawn[:, 48:])):
        with FlopCounterMode(display=False) as counter:
            compute().square().mean().backward()
        work.append(counter.get_total_flops())
    assert 3 < work[0] / work[1] < 4


def test_settings() -> None:
    c = vit().config
    assert (MaskedConfig().hidden(16), MaskedConfig(autoencoder=False).hidden(16)) == (12, 8)
    assert (MaskedConfig(share=0.99).hidden(4), MaskedConfig(share=0.01).hidden(4)) == (3, 1)
    assert [MaskedConfig(target=t).outputs(c) for t in ("normalised", "pixels", "colour", "colours")] == [
        48, 48, 512, 8192,
    ]  # fmt: skip
    assert MaskedConfig(target="colour").outputs(dataclasses.replace(c, channels=1)) == 8
    assert MaskedConfig(decoder_width=64).decoder(c).heads == 2
    for wrong, said in (
        (lambda: MaskedConfig(decoder_width=40), "decoder_width is 40, expected a multiple of 32"),
        (lambda: MaskedConfig(share=1.0), "share is 1.0, expected"),
        (lambda: MaskedConfig(autoencoder=False, decoder_depth=2), "no decoder but the autoencoder's"),
        (lambda: MaskedConfig().hidden(1), "an image of one patch"),
        (lambda: MaskedConfig(target="colours").outputs(dataclasses.replace(c, patch=2)), "multiple of 4 pixels"),
        (lambda: MaskedConfig(target="colour").outputs(dataclasses.replace(c, channels=4)), "1 to 3 channels, not 4"),
    ):
        with pytest.raises(ConfigError, match=said):
            wrong()
