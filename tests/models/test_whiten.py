"""The whitened patch projection: what it makes of patches, and where it is refused."""

from __future__ import annotations

import pytest
import torch

from vitascope.errors import ConfigError
from vitascope.models import whiten
from vitascope.models.catalogue import create_model
from vitascope.models.vit import ViT
from vitascope.models.whiten import whiten_patches


def tiny(width: int, **changes: object) -> ViT:
    sizes = {"depth": 1, "heads": 1, "hidden": 8, "classes": 2, "image_size": 8}
    model = create_model("ViT-Ti/2", width=width, generator=torch.Generator().manual_seed(0), **{**sizes, **changes})
    assert isinstance(model, ViT)
    return model


def smooth(count: int = 40) -> torch.Tensor:
    """Images whose neighbouring pixels are alike, with a mean that is not zero."""
    noise = torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.avg_pool2d(noise, 5, stride=1) + 0.3


def test_projected_patches_are_uncorrelated_with_variance_one() -> None:
    model, images = tiny(24), smooth()
    whiten_patches(model, images)
    tokens = model.patches(images).flatten(0, 1)  # (B·N, D)
    assert torch.allclose(tokens.mean(dim=0), torch.zeros(24), atol=1e-4)
    plus, minus = tokens.chunk(2, dim=1)
    assert torch.allclose(plus, -minus, atol=1e-4)
    correlation = torch.corrcoef(plus.T)
    assert torch.allclose(correlation, torch.eye(12), atol=1e-2)
    variances = plus.var(dim=0)
    assert variances[0] > 0.99
    assert variances.max() < 1.001  # small components are held back, none is blown up


def test_images_are_taken_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together, apart = tiny(24), tiny(24)
    whiten_patches(together, smooth())
    monkeypatch.setattr(whiten, "_TOGETHER", 7)
    whiten_patches(apart, smooth())
    torch.testing.assert_close(apart.patches.projection.bias, together.patches.projection.bias)
    torch.testing.assert_close(
        apart.patches.projection.weight.abs(), together.patches.projection.weight.abs(), atol=1e-4, rtol=1e-3
    )


def test_a_narrow_model_takes_the_largest_components() -> None:
    wide, narrow = tiny(24), tiny(8)
    for model in (wide, narrow):
        whiten_patches(model, smooth())
    assert torch.equal(narrow.patches.projection.weight[:4], wide.patches.projection.weight[:4])


def test_filters_left_over_stay_random_and_are_centred() -> None:
    model, before, images = tiny(32), tiny(32), smooth()
    whiten_patches(model, images)
    assert torch.equal(model.patches.projection.weight[24:], before.patches.projection.weight[24:])
    assert torch.allclose(model.patches(images).mean(dim=(0, 1)), torch.zeros(32), atol=1e-4)


@pytest.mark.parametrize("name", ["R+ViT-Ti/16", "BiT-R50x1"])
def test_models_without_patches_of_pixels_are_refused(name: str) -> None:
    model = create_model(name, image_size=32, classes=2)
    with pytest.raises(ConfigError, match="leave it at 0"):
        whiten_patches(model, torch.zeros(1, 3, 32, 32))
