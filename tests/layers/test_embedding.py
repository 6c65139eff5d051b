"""Equation 1, with and without class token, registers and a class row."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from vitascope.layers.config import ViTConfig
from vitascope.layers.embedding import Embedding, random_tokens


def embedding(**changes: Any) -> Embedding:
    e = Embedding(ViTConfig(width=4, heads=1, image_size=(2, 2), patch=1, pooling="mean", **changes))
    for number, parameter in enumerate(e.parameters()):
        torch.nn.init.constant_(parameter, 10.0 ** (number + 1))
    return e


def test_equation_1() -> None:
    e = embedding()
    assert e.class_token is not None
    assert e.positions is not None
    x = torch.randn(3, 4, 4)
    expected = torch.cat([e.class_token.expand(3, 1, 4), x], dim=1) + e.positions((2, 2))
    torch.testing.assert_close(e(x, (2, 2)), expected)


def test_registers_stand_between_class_token_and_patches_without_position() -> None:
    e = embedding(registers=2)
    z = e(torch.zeros(1, 4, 4), (2, 2))[0, :, 0]
    # class token 10, registers 100, positions 1000
    assert z.tolist() == [1010, 100, 100, 1000, 1000, 1000, 1000]


def test_without_a_class_row_only_patches_get_positions() -> None:
    z = embedding(class_row=False)(torch.zeros(1, 4, 4), (2, 2))[0, :, 0]
    assert z.tolist() == [10, 100, 100, 100, 100]


def test_without_class_token_there_are_only_patches() -> None:
    z = embedding(class_token=False)(torch.zeros(2, 4, 4), (2, 2))
    assert z.shape == (2, 4, 4)
    assert (z == 10).all()


def test_no_positions_leaves_the_patches_alone() -> None:
    x = torch.randn(1, 4, 4)
    torch.testing.assert_close(embedding(positions="none")(x, (2, 2))[:, 1:], x)


def test_dropout_comes_after_the_positions() -> None:
    e = embedding(dropout=0.5)
    torch.manual_seed(0)
    z = e(torch.ones(8, 4, 4), (2, 2))
    assert 0.3 < float((z == 0).float().mean()) < 0.7
    assert torch.equal(e.eval()(torch.zeros(1, 4, 4), (2, 2))[0, 1:], torch.full((4, 4), 100.0))


@pytest.mark.parametrize("grid", [(3, 3), (1, 4)])
def test_other_grids(grid: tuple[int, int]) -> None:
    n = grid[0] * grid[1]
    assert embedding()(torch.zeros(1, n, 4), grid).shape == (1, n + 1, 4)


def test_dropped_patches_are_whole_tokens_other_ones_for_each_image() -> None:
    e = embedding(registers=2)
    x = torch.arange(4.0).view(1, 4, 1).expand(64, 4, 4)  # each patch says which it is
    torch.manual_seed(0)
    z = e(x, (2, 2), drop_tokens=0.5)
    assert z.shape == (64, 3 + 2, 4)
    assert torch.equal(z[:, :3], e(x, (2, 2))[:, :3])  # class token and registers stay
    kept = z[:, 3:, 0] - 1000  # 1000: the position
    assert {tuple(sorted(row.tolist())) for row in kept} == set(itertools.combinations(range(4), 2))
    assert e(x, (2, 2)).shape == (64, 3 + 4, 4)  # unless they are to be dropped


def test_at_least_one_patch_stays() -> None:
    assert random_tokens(torch.ones(2, 4, 4), 0.01).shape == (2, 1, 4)
