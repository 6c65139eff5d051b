"""The table of memory: which points, and that a point can be measured."""

from __future__ import annotations

import pytest

import memory


def test_one_of_batch_resolution_and_depth_is_varied_at_a_time() -> None:
    assert memory.points([8, 16, 32], [160, 224, 320], [6, 12, 24]) == [
        (8, 224, 12), (16, 224, 12), (32, 224, 12), (16, 160, 12), (16, 320, 12), (16, 224, 6), (16, 224, 24),
    ]  # fmt: skip


def test_checkpointed_training_ends_with_the_same_weights() -> None:
    ends = {way: memory.work("ViT-Ti/16", way, (2, 32, 2), steps=2)[1] for way in memory.WAYS}
    assert ends["training"] == ends["checkpointed"]


@pytest.mark.parametrize("way", memory.WAYS)
def test_a_row_has_measured_and_predicted_side_by_side(way: str) -> None:
    expected = memory.predicted("ViT-Ti/16", way, (16, 224, 12)).peak
    found = memory.row(
        "ViT-Ti/16", way, (16, 224, 12), {"bytes": expected * 1.1}, {"bytes": expected * 1.5, "seconds": 0.8}
    )
    assert found["measured_over_predicted"]["median"] == pytest.approx(1.1)
    assert found["milliseconds_an_image"]["median"] == 50.0
    assert found["MiB_with_what_glibc_keeps"]["median"] == pytest.approx(1.5 * expected / 2**20, rel=1e-3)
    assert found["MiB"]["median"] == pytest.approx(1.1 * expected / 2**20, rel=1e-3)
