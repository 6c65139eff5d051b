"""Cutting into patches, and E as a matrix product."""

from __future__ import annotations

import pytest
import torch

from vitascope.errors import ConfigError
from vitascope.layers.config import ViTConfig
from vitascope.layers.patches import NormedPatches, Patches, patch_grid, patchify, unpatchify


def test_projection_is_the_flattened_patches_times_e() -> None:
    torch.manual_seed(0)
    patches = Patches(ViTConfig(patch=4, width=10, heads=1))
    images = torch.randn(2, 3, 8, 12)
    e = patches.projection.weight.permute(2, 3, 1, 0).reshape(4 * 4 * 3, 10)  # (P·P·C, D)
    assert patches.projection.bias is not None
    expected = patchify(images, 4) @ e + patches.projection.bias
    torch.testing.assert_close(patches(images), expected, rtol=1e-5, atol=1e-5)


def test_patches_are_taken_row_by_row() -> None:
    image = torch.arange(4 * 6).reshape(1, 1, 4, 6).float()
    flat = patchify(image, 2)
    assert flat.shape == (1, 6, 4)
    assert flat[0, 0].tolist() == [0, 1, 6, 7]
    assert flat[0, 1].tolist() == [2, 3, 8, 9]
    assert flat[0, 3].tolist() == [12, 13, 18, 19]


def test_grid_of_any_divisible_size() -> None:
    assert patch_grid((224, 160), 16) == (14, 10)


@pytest.mark.parametrize(
    ("size", "remedy"), [((100, 96), "use 96×96 or 112×96"), ((8, 32), "use 16×32"), ((16, 17), "use 16×16 or 16×32")]
)
def test_other_sizes_are_refused_with_the_nearest(size: tuple[int, int], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        patch_grid(size, 16)


def test_unpatchify_is_the_way_back() -> None:
    images = torch.randn(2, 3, 8, 12)
    assert torch.equal(unpatchify(patchify(images, 4), 4, (8, 12)), images)


def test_norms_stand_before_and_after_e() -> None:
    torch.manual_seed(0)
    patches = NormedPatches(ViTConfig(patch=4, width=10, heads=1, patch_norms=True))
    for parameter in patches.parameters():
        torch.nn.init.normal_(parameter)
    images = torch.randn(2, 3, 8, 12)
    e = patches.projection.weight.permute(0, 2, 3, 1).flatten(1)  # (D, P·P·C)
    x = patches.norm_pixels(patchify(images, 4)) @ e.T + patches.projection.bias
    torch.testing.assert_close(patches(images), patches.norm_token(x), rtol=1e-5, atol=1e-5)
