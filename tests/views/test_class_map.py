"""A class map adds up to what its name says."""

from __future__ import annotations

import pytest
import torch

from tiny_checkpoint import checkpoint
from vitascope.errors import ConfigError
from vitascope.models.bit import BiT
from vitascope.models.config import BiTConfig
from vitascope.views.class_map import class_map

CONFIG = BiTConfig(image_size=(32, 48), units=(1, 1, 1), base_width=32, classes=3, small_images=True)


def test_the_cells_add_up_to_the_logits_lead_over_the_mean() -> None:
    model = checkpoint(CONFIG).model
    assert isinstance(model, BiT)
    assert model.head.linear is not None
    images, labels = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)), torch.tensor([2, 0])
    found = class_map(model, images, labels)
    assert found.shape == (2, 8, 12)
    with torch.no_grad():
        logits = model(images) - model.head.linear.bias
    expected = logits[[0, 1], labels] - logits.mean(dim=1)
    assert torch.allclose(found.sum(dim=(1, 2)), expected, atol=1e-5)


def test_cells_stand_where_they_are_in_the_image() -> None:
    """A change in one corner changes the map there, rather than in the other corner."""
    model = checkpoint(CONFIG).model
    assert isinstance(model, BiT)
    plain = torch.zeros(1, 3, 32, 48)
    changed = plain.clone()
    changed[:, :, :4, -4:] = 3.0
    label = torch.tensor([1])
    moved = (class_map(model, changed, label) - class_map(model, plain, label)).abs()[0]
    assert moved[:2, -2:].mean() > moved[-2:, :2].mean()


def test_without_a_head_there_is_none() -> None:
    model = BiT(BiTConfig(image_size=(32, 32), units=(1,), base_width=32, classes=0, small_images=True))
    with pytest.raises(ConfigError, match="without a head"):
        class_map(model, torch.zeros(1, 3, 32, 32), torch.tensor([0]))
