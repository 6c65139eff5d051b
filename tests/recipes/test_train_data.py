"""What `train` learns from and holds out: nothing of one side on the other, nothing that cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tiny import image_folder
from vitascope.data.check import check_data
from vitascope.data.open import open_data
from vitascope.data.source import Source
from vitascope.recipes.train_asked import Train
from vitascope.recipes.train_data import divided

pytestmark = pytest.mark.usefixtures("cold_cache")


@pytest.mark.parametrize("group", [None, r"(\d)\.png$"])
def test_what_is_held_out_beside_a_test_split_has_no_copies_in_training(group: str | None, tmp_path: Path) -> None:
    data = tmp_path / "data"
    image_folder(data / "train", 60)
    image_folder(data / "test", 9, seed=1)
    for file in sorted(data.glob("train/*/*.png")):
        shutil.copy(file, file.with_name(f"again-{file.name}"))
    if group:  # the test images are of a group of their own
        for file in sorted(data.glob("test/*/*.png")):
            file.rename(file.with_name("x.png" if file.name == "000.png" else f"{file.stem}x.png"))
        group = r"(\d|x)\.png$"
    splits = open_data(str(data))
    parts, _, _ = divided(Train(data=str(data), out=str(tmp_path / "run"), group=group), splits, check_data(splits))
    assert parts.train is not None
    assert parts.validation is not None

    def keys(source: Source) -> set[str]:
        files = [Path(source.describe(i)) for i in range(len(source))]
        return {f.stem[-1] if group else f"{f.parent.name}{f.name.removeprefix('again-')}" for f in files}

    assert len(parts.validation) > 2
    assert not keys(parts.train) & keys(parts.validation)


def test_what_the_check_had_no_time_to_read_is_left_out_too(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data" / "train", 24).parent
    image_folder(data / "val", 12, seed=1)
    (data / "train" / "cat" / "broken.png").write_bytes(b"no picture")
    splits = open_data(str(data))
    report = check_data(splits, until=0.0)
    assert not report.splits["train"].unreadable
    parts, _, unreadable = divided(Train(data=str(data), out=str(tmp_path / "run")), splits, report)
    assert parts.train is not None
    assert (len(parts.train), unreadable) == (24, 1)
