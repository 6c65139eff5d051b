"""Where images are kept is one thing, which pixels they have another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tiny import image_folder, pretrain_recipe
from vitascope.data import kept as module
from vitascope.data.kept import Mapped
from vitascope.data.source import Source
from vitascope.errors import DataError
from vitascope.recipes.prepare import prepare_data
from vitascope.recipes.recipe import Recipe

KEPT = [("2G", "0"), ("0", "1G"), ("0", "0")]


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPARE", 0)


def recipe(folder: Path, memory: str, disk: str, shrink: int | None = None) -> Recipe:
    return pretrain_recipe(
        folder / "run",
        data=str(image_folder(folder / "data")),
        memory_budget=memory,
        disk_budget=disk,
        shrink=shrink,
        holdout=0.3,
        on_error="skip",
    )


def same(one: Source, other: Source) -> bool:
    return len(one) == len(other) and all(np.array_equal(one[i], other[i]) for i in range(len(one)))


@pytest.mark.parametrize("shrink", [None, 9])
def test_images_are_the_same_wherever_they_are_kept(shrink: int | None, tmp_path: Path, small_disk: None) -> None:
    kinds = []
    for memory, disk in KEPT:
        data = prepare_data(recipe(tmp_path, memory, disk, shrink))
        reference = prepare_data(recipe(tmp_path, "0", "0", shrink))
        assert same(data.train, reference.train)
        assert np.array_equal(data.train.labels, reference.train.labels)
        assert data.validation is not None
        assert reference.validation is not None
        assert same(data.validation, reference.validation)
        kinds.append(type(getattr(data.train, "images", None)))
        if shrink is not None:
            assert {data.train[0].shape[0], data.validation[0].shape[0]} == {9, 16}
    assert kinds == [list, Mapped, type(None)]


def test_a_class_all_of_whose_images_were_passed_over_is_refused(tmp_path: Path) -> None:
    image_folder(tmp_path / "photos")
    (tmp_path / "photos" / "zebra").mkdir()
    (tmp_path / "photos" / "zebra" / "1.jxl").write_bytes(b"x")
    with pytest.raises(DataError, match="no image of class 'zebra' can be read; passed over: 1 JPEG XL"):
        prepare_data(pretrain_recipe(tmp_path / "run", data=str(tmp_path / "photos")))
