"""Position similarity and the numbers that say how two-dimensional it is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tiny_checkpoint import TINY, checkpoint
from vitascope import views
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError
from vitascope.models.config import ViTConfig
from vitascope.views.positions import locality_of

WIDE = ViTConfig(image_size=(24, 40), patch=8, width=16, depth=1, heads=2, hidden=24, classes=2)


def test_the_diagonal_is_one_and_both_halves_agree(kind: tuple[Checkpoint, Tensor]) -> None:
    ck, _ = kind
    if not ck.config.has_table:
        for view in (views.position_similarity, views.position_locality):
            with pytest.raises(ConfigError, match="no position embeddings"):
                view(ck.model)
        return
    similarity = views.position_similarity(ck.model)
    rows, columns = ck.config.grid
    n = rows * columns
    assert similarity.shape == (rows, columns, rows, columns)
    flat = similarity.reshape(n, n)
    torch.testing.assert_close(flat.diagonal(), torch.ones(n), rtol=0, atol=1e-6)
    torch.testing.assert_close(flat, flat.T)
    assert float(flat.abs().max()) <= 1


def test_it_is_the_cosine_of_rows_of_the_table_without_the_class_row() -> None:
    ck = checkpoint(WIDE)
    table = ck.model.embedding.positions.table[0, 1:].detach().double().reshape(3, 5, 16)
    a, b = table[2, 1], table[0, 4]
    expected = float(a @ b / math.sqrt(float(a @ a) * float(b @ b)))
    assert float(views.position_similarity(ck.model)[2, 1, 0, 4]) == pytest.approx(expected, abs=1e-6)


def test_a_row_of_zeros_is_similar_to_nothing() -> None:
    ck = checkpoint(WIDE)
    with torch.no_grad():
        ck.model.embedding.positions.table[0, 1].zero_()
    similarity = views.position_similarity(ck.model)
    assert not similarity[0, 0].any()
    assert similarity.isfinite().all()


def test_numbers_of_a_two_dimensional_similarity() -> None:
    y, x = (part.flatten().double() for part in torch.meshgrid(torch.arange(6), torch.arange(7), indexing="ij"))
    distance = torch.hypot(y[:, None] - y, x[:, None] - x)
    found = locality_of((1 - distance / 5).reshape(6, 7, 6, 7))
    assert found.correlation == pytest.approx(-1)
    assert -0.99 < found.raster_correlation < -0.5  # less than the truth
    assert found.nearest_is_neighbour == 1
    others = ~torch.eye(42, dtype=torch.bool)
    same_row = (y[:, None] == y) & others
    assert found.same_row == pytest.approx(float(1 - distance[same_row].mean() / 5))
    assert found.same_column == pytest.approx(float(1 - distance[(x[:, None] == x) & others].mean() / 5))
    neither = (x[:, None] != x) & (y[:, None] != y)
    assert found.elsewhere == pytest.approx(float(1 - distance[neither].mean() / 5))


def test_numbers_of_a_one_dimensional_similarity() -> None:
    raster = torch.arange(42).double()
    found = locality_of((1 - (raster[:, None] - raster).abs() / 41).reshape(6, 7, 6, 7))
    assert found.raster_correlation == pytest.approx(-1)
    assert found.correlation > -0.95


def test_numbers_where_nothing_was_learned() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.nn.functional.normalize(torch.randn(64, 300, generator=generator), dim=1)
    found = locality_of((table @ table.T).reshape(8, 8, 8, 8))
    assert abs(found.correlation) < 0.05
    assert found.nearest_is_neighbour < 0.4
    constant = locality_of(torch.ones(2, 2, 2, 2))
    assert math.isnan(constant.correlation)


def test_fixed_sine_and_cosine_positions_are_two_dimensional() -> None:
    ck = checkpoint(replace(WIDE, positions="sincos", width=32, image_size=(64, 64)))
    found = views.position_locality(ck.model)
    assert found.correlation < -0.4
    assert found.correlation < found.raster_correlation
    assert found.nearest_is_neighbour == 1


def test_grids_of_a_single_row_or_patch() -> None:
    strip = views.position_locality(checkpoint(replace(TINY, image_size=(8, 40))).model)
    assert math.isnan(strip.same_column)
    assert math.isnan(strip.elsewhere)
    assert np.isfinite([strip.correlation, strip.same_row]).all()
    with pytest.raises(ConfigError, match="no two positions"):
        views.position_locality(checkpoint(replace(TINY, image_size=(8, 8))).model)
