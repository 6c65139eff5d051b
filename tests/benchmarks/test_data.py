"""The logic of the benchmarks of data, at toy size and without a peer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data
import streaming
from vitascope.data import kept as module
from vitascope.data.open import open_data
from vitascope.data.shrunk import Shrunk


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(2 * data.BATCH + 1):
        (tmp_path / "photographs" / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{i % 2}" / f"{i}.jpg")
    return tmp_path / "photographs"


def test_an_epoch_is_of_whole_batches(photographs: Path) -> None:
    source = open_data(str(photographs)).train
    assert source is not None
    run = data.ours(source)
    assert [run(), run()] == [2 * data.BATCH] * 2


def test_what_is_kept_is_told(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPARE", 0)
    source = open_data(str(photographs)).train
    assert source is not None
    small = Shrunk(source, 15)
    kept, cost = data.kept(small, tmp_path / "cache")
    assert np.array_equal(kept[3], small[3])
    assert cost["bytes"] > len(source) * 15 * 20 * 3
    # Without shrinking only the edges differ, where a box sees what lies beside it.
    unchanged, changed = (data.effect_of_shrinking(source, other, images=3) for other in (Shrunk(source, 100), small))
    assert unchanged < 2 < 5 < changed


def test_memory_is_told_at_each_share() -> None:
    source = streaming.ByIndex(4 * streaming.BATCH, 16)
    assert source[5].shape == (16, 16, 3)
    assert not np.array_equal(source[5], source[6])
    result = streaming.stream(source, 8, shares=(0.5, 1.0))
    assert list(result["peak_megabytes"]) == ["50%", "100%"]
