"""Positions: the official resize, its cache, sine-cosine tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from vitascope.layers.config import ViTConfig
from vitascope.layers.position import Positions, resize_positions, sincos_positions

GOLDEN = Path(__file__).parent.parent / "golden" / "posemb_resize.npz"


@pytest.mark.parametrize("side", [2, 3, 6, 7])
def test_resize_equals_the_official_one(side: int) -> None:
    with np.load(GOLDEN) as golden:
        source, target = torch.from_numpy(golden["source"]), golden[f"target_{side}"]
    resized = resize_positions(source, (4, 4), (side, side), class_row=True)
    np.testing.assert_allclose(resized.numpy(), target, atol=1e-6)


def test_resize_of_a_grid_that_is_not_square_equals_scipy() -> None:
    table = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 12, 5), dtype=np.float32))
    expected = zoom(table.numpy().reshape(3, 4, 5), (5 / 3, 7 / 4, 1), order=1).reshape(1, 35, 5)
    np.testing.assert_allclose(resize_positions(table, (3, 4), (5, 7), class_row=False).numpy(), expected, atol=1e-6)


def test_a_table_that_does_not_fit_its_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="10 rows for a grid of 3×3 and 0 class row"):
        resize_positions(torch.zeros(1, 10, 4), (3, 3), (2, 2), class_row=False)


def positions() -> Positions:
    p = Positions(ViTConfig(image_size=(4, 4), patch=1, width=8, heads=1))
    assert p.table is not None
    torch.nn.init.normal_(p.table)
    return p


def test_another_size_is_computed_once() -> None:
    p = positions().requires_grad_(False)
    assert p((6, 5)).data_ptr() == p((6, 5)).data_ptr()
    assert p((4, 4)) is p.table


def test_the_cache_notices_new_weights() -> None:
    p = positions().requires_grad_(False)
    before = p((6, 6)).clone()
    assert p.table is not None
    p.table.mul_(2)
    torch.testing.assert_close(p((6, 6)), 2 * before)


@pytest.mark.parametrize("fused", [False, True])
def test_the_cache_notices_a_training_step(fused: bool) -> None:
    p = positions()
    optimizer = torch.optim.Adam(p.parameters(), lr=0.1, fused=fused)
    for modes in ((), (False, True)):
        p((6, 6)).square().sum().backward()
        for mode in modes:
            p.train(mode)
        with torch.no_grad():
            p.train(False)((6, 6))  # between backward and step
            optimizer.step()
            p.train()
            assert p.table is not None
            expected = resize_positions(p.table, (4, 4), (6, 6), class_row=True)
            assert torch.equal(p.train(False)((6, 6)), expected)


def test_a_model_made_in_inference_mode_takes_other_sizes() -> None:
    with torch.inference_mode():
        p = positions()
        assert p((6, 6)).shape == (1, 37, 8)


def test_cached_positions_made_without_gradients_can_be_trained_with() -> None:
    p = positions()
    with torch.inference_mode():
        p((6, 6))
    p((6, 6)).sum().backward()
    assert p.table is not None
    assert p.table.grad is not None
    # Resizing is linear: what a size of 6×6 hands out in all is what its 16 sources and the class row contribute.
    assert float(p.table.grad.sum()) == pytest.approx(8 * 37, rel=1e-5)


def test_sine_cosine_of_the_first_patch_and_along_one_axis() -> None:
    table = sincos_positions((3, 5), 16)
    assert table.shape == (1, 15, 16)
    assert table[0, 0].tolist() == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    x_part, y_part = table[0].reshape(3, 5, 16).split(8, dim=-1)
    assert torch.equal(x_part[0], x_part[2])  # the same column in every row
    assert torch.equal(y_part[:, 0], y_part[:, 4])
    torch.testing.assert_close(x_part[0, 1, 0], torch.tensor(1.0).sin())
