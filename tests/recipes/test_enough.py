"""What more photographs would bring: the figures of teaching, and nothing where there are too few."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import vitascope as vs
from lessons import taught
from tiny import CLASSES, image_folder
from tiny_checkpoint import checkpoint
from vitascope.data.kept import ArraySource
from vitascope.errors import DataError
from vitascope.evaluation.forecast import least
from vitascope.recipes.asked import Enough
from vitascope.recipes.enough import _sizes, enough

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def start(tmp_path: Path) -> str:
    vs.save(checkpoint(), tmp_path / "start")
    return str(tmp_path / "start")


def of(start: str, data: Path, **options: object) -> dict[str, object]:
    return enough(Enough(data=str(data), start=start, device="cpu", **options))  # type: ignore[arg-type]


def test_the_figures_are_those_of_teaching(start: str, tmp_path: Path) -> None:
    data = image_folder(tmp_path / "images", 60, seed=3)
    found = of(start, data)
    results = taught(start, data, tmp_path / "taught").results
    assert found["top1"] == results["loo_top1"]
    for name in ("images", "interval", "forecast", "gains", "per_class"):
        assert found[name] == results[name]
    assert found["image_size"] == [16, 16]
    assert of(start, data, image_size=32)["image_size"] == [32, 32]
    assert json.loads(json.dumps(found)) == found


def test_of_too_few_nothing_is_foretold(start: str, tmp_path: Path) -> None:
    found = of(start, image_folder(tmp_path / "images", 39, seed=3))
    assert (found["forecast"], found["gains"], found["least"]) == ([], {}, 40)
    assert least(10) == 60
    assert found["images"] == 39


def test_held_out_splits_play_no_part(start: str, tmp_path: Path) -> None:
    image_folder(tmp_path / "data" / "train", 12)
    image_folder(tmp_path / "data" / "test", 6, seed=1)
    assert of(start, tmp_path / "data")["images"] == 12


def test_what_cannot_be_read_is_left_out_and_counted(start: str, tmp_path: Path) -> None:
    data = image_folder(tmp_path / "images", 12)
    (data / "ant" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = of(start, data)
    assert (found["images"], found["unreadable"]) == (12, 1)


def test_several_labels_an_image_are_refused(start: str, tmp_path: Path) -> None:
    data = image_folder(tmp_path / "images", 6)
    rows = [f"{file},ant;bee" for file in sorted(data.rglob("*.png"))]
    (tmp_path / "list.csv").write_text("\n".join(["file,labels", *rows]))
    with pytest.raises(DataError, match="several labels"):
        of(start, tmp_path / "list.csv")


@pytest.mark.parametrize(("side", "sizes"), [(200, [(32, 32), (64, 64)]), (40, [(32, 32)]), (8, [(32, 32), (16, 16)])])
def test_the_packages_own_start_sees_images_at_a_size_that_suits_them(side: int, sizes: list[tuple[int, int]]) -> None:
    images = np.zeros((3, side, side, 3), dtype=np.uint8)
    source = ArraySource("some", CLASSES, np.arange(3), images)
    assert _sizes(Enough(data="some"), source) == sizes
    assert _sizes(Enough(data="some", image_size=48), source) == [48]
    assert _sizes(Enough(data="some", start="other"), source) == [None]
