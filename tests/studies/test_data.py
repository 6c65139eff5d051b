"""What a study reads: nothing of the target's test images to train on, and parts drawn once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny import image_folder
from tiny_study import data_scaling
from vitascope.studies.data import StudyData, open_study


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """source/ with five of the 30 images in target/test/."""
    image_folder(tmp_path / "source", 60, seed=2)
    image_folder(tmp_path / "target" / "train", 30)
    image_folder(tmp_path / "target" / "test", 30, seed=1)
    for number, file in enumerate(sorted((tmp_path / "target" / "test" / "ant").iterdir())[:5]):
        shutil.copy(file, tmp_path / "source" / "bee" / f"again{number}.png")
    return tmp_path


def opened(folders: Path, **changes: Any) -> StudyData:
    told = {"source": str(folders / "source"), "validation_images": 12, "sizes": (), **changes}
    return open_study(data_scaling(folders / "out", folders / "target", **told))


def test_what_is_among_the_test_images_is_not_trained_on(folders: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert opened(folders).sizes == (60 - 12,)
    assert "5 of 65 images of" in caplog.text
    assert opened(folders, keep_copies=True).sizes == (65 - 12,)


def test_parts_of_the_target_are_drawn_once(folders: Path) -> None:
    one, other, whole = (
        opened(folders, target_images=24, test_images=9),
        opened(folders, target_images=24),
        opened(folders),
    )
    assert [len(part) for d in (one, whole) for part in (d.targets[0].train, d.targets[0].test)] == [24, 9, 30, 30]
    learned, again = one.targets[0].train, other.targets[0].train
    assert np.array_equal(np.stack([learned[i] for i in range(24)]), np.stack([again[i] for i in range(24)]))
