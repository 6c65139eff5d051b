"""Embedding filters: principal components of what sees the pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tiny_checkpoint import TINY, checkpoint
from vitascope import views
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError
from vitascope.models.config import StemConfig
from vitascope.views.filters import filter_tiles


def test_they_are_orthogonal_directions_of_length_one(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, _ = kind
    filters = views.embedding_filters(ck.model)
    if ck.config.stem is None:
        assert filters.shape == (16, 8, 8, ck.config.channels)  # no more than D
    else:
        assert filters.shape == (28, 7, 7, 3)
    flat = filters.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(len(flat)), rtol=0, atol=1e-5)
    assert torch.equal(flat.amax(1), flat.abs().amax(1))  # the largest value is positive


def test_known_patterns_are_found_in_order_of_their_variance() -> None:
    ck = checkpoint(replace(TINY, width=32))
    generator = torch.Generator().manual_seed(0)
    patterns = torch.linalg.qr(torch.randn(8 * 8 * 3, 3, generator=generator)).Q.T  # (3, P·P·C)
    amounts = torch.linalg.qr(torch.randn(32, 4, generator=generator)).Q[:, :3]
    amounts = amounts - amounts.mean(0)
    mean = 5 * torch.randn(192, generator=generator)
    e = (amounts * torch.tensor([1.0, 9.0, 4.0])) @ patterns + mean  # the mean is no component
    with torch.no_grad():
        ck.model.patches.projection.weight.copy_(e.reshape(32, 8, 8, 3).permute(0, 3, 1, 2))
    found = views.embedding_filters(ck.model, components=3).flatten(1)
    alike = (found @ patterns.T).abs()
    assert alike.argmax(1).tolist() == [1, 2, 0]
    assert float(alike.amax(1).min()) > 0.95


def test_a_hybrid_shows_its_root_kernels_as_they_are_used() -> None:
    config = replace(TINY, image_size=(32, 32), patch=1, stem=StemConfig(units=(1, 1), width_factor=0.5))
    ck = checkpoint(config)
    before = views.embedding_filters(ck.model)
    with torch.no_grad():
        weight = ck.model.stem.root.weight
        weight.mul_(torch.linspace(1, 9, len(weight))[:, None, None, None]).add_(1)  # the standardisation undoes both
        ck.model.patches.projection.weight.zero_()
    torch.testing.assert_close(views.embedding_filters(ck.model), before, rtol=0, atol=1e-3)


def test_how_many() -> None:
    model = checkpoint(replace(TINY, width=64)).model
    assert views.embedding_filters(model).shape == (28, 8, 8, 3)
    assert torch.equal(views.embedding_filters(model, components=2), views.embedding_filters(model)[:2])
    assert views.embedding_filters(checkpoint(replace(TINY, patch=2, channels=1)).model).shape == (4, 2, 2, 1)
    for wrong in (0, -1):
        with pytest.raises(ConfigError, match="expected at least 1"):
            views.embedding_filters(model, components=wrong)


def test_tiles() -> None:
    filters = np.zeros((2, 4, 4, 3))
    filters[0, 1, 2] = [0.5, -0.25, 0]
    tiles = filter_tiles(filters)
    assert tiles.shape == (2, 4, 4, 3)
    assert tiles.dtype == np.uint8
    assert tiles[0, 1, 2].tolist() == [255, 64, 128]
    assert (tiles[1] == 128).all()  # nothing but grey, and no division by zero
    assert filter_tiles(np.ones((1, 4, 4, 1))).shape == (1, 4, 4, 3)
    five = filter_tiles(np.linspace(-1, 1, 80).reshape(1, 4, 4, 5))
    assert five.shape == (1, 4, 24, 3)
    assert (five[:, :, [4, 9, 14, 19]] == 255).all()
    assert five[0, 0, 0, 0] == 0  # channel 0 first
    assert five[0, 3, 23, 0] == 255
