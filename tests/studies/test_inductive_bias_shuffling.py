"""Shuffled pieces: nothing is lost, and who notices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tiny_checkpoint import checkpoint
from vitascope.errors import ConfigError
from vitascope.models.config import ViTConfig
from vitascope.models.vit import ViT
from vitascope.studies.inductive_bias.equivariance import change
from vitascope.studies.inductive_bias.shuffling import features_of_reordered_tokens, order, shuffled

VIT = ViTConfig(image_size=(16, 24), patch=4, width=16, depth=2, heads=2, hidden=24, classes=3)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def vit(config: ViTConfig) -> ViT:
    model = checkpoint(config).model
    assert isinstance(model, ViT)
    return model


def test_pieces_are_the_images_own_in_the_order_drawn() -> None:
    images = noise(2, 3, 8, 12)
    mixed = shuffled(images, 4, seed=3, first=5)
    for n, (image, other) in enumerate(zip(images, mixed, strict=True)):
        places = [(slice(r, r + 4), slice(c, c + 4)) for r in (0, 4) for c in (0, 4, 8)]
        for place, source in zip(places, order(6, 3, 5 + n), strict=True):
            assert torch.equal(other[:, *place], image[:, *places[source]])
    assert not torch.equal(order(6, 3, 5), order(6, 3, 6)), "another order for every image"


def test_what_fills_no_piece_stays_and_one_piece_is_refused() -> None:
    images = noise(2, 3, 9, 10)
    mixed = shuffled(images, 4, seed=0)
    assert torch.equal(mixed[..., 8:, :], images[..., 8:, :])
    assert torch.equal(mixed[..., 8:], images[..., 8:])
    assert not torch.equal(mixed, images)
    with pytest.raises(ConfigError, match="no two cells of 8"):
        shuffled(images, 8, seed=0)


@pytest.mark.parametrize("pooling", ["token", "mean"])
@pytest.mark.parametrize("cell", [4, 8])
def test_without_positions_nobody_notices(pooling: str, cell: int) -> None:
    config = replace(VIT, positions="none", pooling=pooling, class_token=pooling == "token")
    images = noise(3, 3, 16, 24)
    with torch.no_grad():
        before = vit(config).features(images)
        after = vit(config).features(shuffled(images, cell, seed=1))
        torch.testing.assert_close(after, before)
        with_positions = vit(replace(config, positions="learned"))
        moved = change(with_positions.features(shuffled(images, cell, seed=1)), with_positions.features(images))
    assert moved is not None
    assert moved > 0.01


@pytest.mark.parametrize("fields", [{}, {"registers": 2}, {"pooling": "mean", "class_token": False}])
def test_tokens_that_keep_their_positions_may_stand_anywhere(fields: dict[str, object]) -> None:
    model = vit(replace(VIT, **fields))
    images = noise(3, 3, 16, 24)
    with torch.no_grad():
        before, after = model.features(images), features_of_reordered_tokens(model, images, seed=0)
    torch.testing.assert_close(after, before)
    assert not torch.equal(after, before), "they were reordered"
    assert not model.embedding._forward_hooks
