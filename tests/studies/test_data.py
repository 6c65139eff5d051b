"""What a study reads: nothing of the target's test images to train on, and parts drawn once."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.test_alike import scene

from tiny import image_folder
from tiny_study import data_scaling, values
from vitascope.data import among, copies
from vitascope.studies.ablation.settings import Ablation
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
        data = opened(folders)
    assert data.sizes == (60 - 12,)
    assert len(data.notes) == 1
    assert "5 of 65 images of" in data.notes[0]
    assert data.notes[0] in caplog.text
    whole = opened(folders, keep_copies=True)
    assert whole.sizes == (65 - 12,)
    # Where other copies are found, a study that has begun learns from other images: it must not go on.
    differ = [name for name, told in whole.contents.items() if data.contents[name] != told]
    assert differ == [f"{folders / 'source'} (pool)"]


def test_near_copies_of_test_images_are_left_out_of_large_sets_too(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test picture that the source has saved anew and mirrored, which no comparison of files finds."""
    picture = scene(3)
    picture.save(folders / "target" / "test" / "ant" / "scene.png")
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folders / "source" / "ant" / "scene.jpg", quality=80)
    monkeypatch.setattr(copies, "NEAR_LIMIT", 20)
    data = opened(folders)
    assert data.sizes == (60 - 12,)
    assert "6 of 66 images" in data.notes[0]
    assert len(data.notes) == 1


def test_parts_of_the_target_are_drawn_once(folders: Path) -> None:
    one, other, whole = (
        opened(folders, target_images=24, test_images=9),
        opened(folders, target_images=24),
        opened(folders),
    )
    assert [len(part) for d in (one, whole) for part in (d.targets[0].train, d.targets[0].test)] == [24, 9, 30, 30]
    learned, again = one.targets[0].train, other.targets[0].train
    assert np.array_equal(np.stack([learned[i] for i in range(24)]), np.stack([again[i] for i in range(24)]))


def test_a_source_that_is_the_target_too_has_what_is_learned_of_it(folders: Path) -> None:
    study = Ablation(
        name="self-supervision",
        **values(folders / "out", folders / "target", source=str(folders / "source"), target_images=15),
    )
    data = open_study(study)
    pool, learned = data.pools[1], data.targets[0].train
    assert pool.train.origin()[1].tolist() == learned.origin()[1].tolist()
    assert len(pool.validation) == 12
    assert not set(pool.validation.origin()[1].tolist()) & set(learned.origin()[1].tolist())
    assert data.sizes == (60 - 12, 15)
    whole = open_study(dataclasses.replace(study, target_images=None))
    assert (len(whole.pools[1].train), len(whole.pools[1].validation)) == (30 - 12, 12)
    for file in sorted((folders / "target" / "test" / "ant").iterdir())[:5]:
        shutil.copy(file, folders / "target" / "train" / "ant" / f"again {file.name}")
    shared = open_study(dataclasses.replace(study, target_images=None))
    assert len(shared.targets[0].train) == len(shared.pools[1].train) + 12 == 35  # fine-tuned on as it is, copies too


def test_what_is_left_out_or_not_looked_for_is_told(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(among, "LIMIT", 20)
    data = opened(folders, target_images=50)
    assert len(data.targets[0].train) == 30
    few, unlooked = data.notes
    assert "has 30 images, fewer than 50: all are taken" in few
    assert "has more than 20 images: copies not looked for" in unlooked
