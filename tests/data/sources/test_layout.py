"""Folders as archives unpack: what is a split, what a class, what one folder too many."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from PIL import Image

from vitascope.data.sources.folder import open_folder
from vitascope.data.sources.layout import find_layout
from vitascope.data.walk import Folder
from vitascope.errors import DataError


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.new("RGB", (4, 4)).save(root / name)
        else:
            (root / name).write_text("x")
    return root


def under(*folders: str) -> list[str]:
    """Two classes of an image each below every folder."""
    return [f"{folder}/{name}/1.png" for folder in folders for name in ("cat", "dog")]


@pytest.mark.parametrize(
    "folders",
    [
        ["Training", "Testing"],
        ["seg_train/seg_train", "seg_test/seg_test"],
        ["training_set/training_set", "test_set/test_set"],
        ["train_images", "test_images"],
        ["train2017", "val2017"],
        ["fold1", "fold2"],
        ["Fold_1", "Fold_2", "Fold_3"],
        ["train", "validation_set"],
        ["train", "my_test"],
        ["archive/Training", "archive/Testing"],
    ],
    ids=" ".join,
)
def test_what_looks_like_splits_is_refused_by_name(tmp_path: Path, folders: list[str]) -> None:
    put(tmp_path, *under(*folders))
    with pytest.raises(DataError, match="look like splits") as caught:
        open_folder(tmp_path)
    named = [Path(folder).parts[-1] if folder.startswith("archive") else Path(folder).parts[0] for folder in folders]
    assert all(name in str(caught.value) for name in named if name != "train")
    assert len(str(caught.value)) - len(str(tmp_path)) < 200


def test_a_third_folder_beside_them_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path, *under("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred/1.png", "README.txt")
    with pytest.raises(DataError, match="seg_test, seg_train look like splits"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "classes",
    [
        ["test", "bus", "train"],
        ["fold", "crease"],
        ["training shoes", "running shoes"],
        ["training shoes", "test tubes"],
        ["steam train", "toy train"],
        ["batch 1", "batch 2"],
        ["part1", "part2"],
    ],
    ids=" ".join,
)
def test_classes_that_hold_images_are_classes_whatever_they_are_called(tmp_path: Path, classes: list[str]) -> None:
    put(tmp_path, *(f"{name}/1.png" for name in classes))
    assert open_folder(tmp_path).classes == tuple(sorted(classes))


@pytest.mark.parametrize(
    "names",
    [
        ["steam train/side/1.png", "steam train/front/1.png", "toy train/side/1.png", "toy train/front/1.png"],
        ["training shoes/red/1.png", "training shoes/old/1.png", "test tubes/glass/1.png", "test tubes/new/1.png"],
        ["cat/male/1.png", "cat/female/1.png", "dog/male/1.png", "dog/female/1.png"],
    ],
)
def test_classes_of_several_folders_stay_classes(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path, *names)
    assert open_folder(tmp_path).classes == tuple(sorted({name.split("/")[0] for name in names}))


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (under("dataset"), "dataset"),
        ([*under("data/photos"), "data/README.md", "labels.csv"], "data/photos"),
        ([*under("images"), "labels/1.txt", "__MACOSX/images/._1.png"], "images"),
        (under("Training"), "Training"),
    ],
)
def test_the_only_folder_with_images_is_entered_and_said(
    tmp_path: Path, names: list[str], place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vitascope")
    train = open_folder(put(tmp_path, *names)).train
    assert train is not None
    assert train.classes == ("cat", "dog")
    assert train.name == tmp_path.name
    assert train.describe(0) == str(tmp_path / place / "cat" / "1.png")
    assert f"{tmp_path / place}: entered" in caplog.text
    others = {Path(name).parts[0] for name in names} - {place.split("/")[0]}
    assert others <= {Path(path).name for path in train.ignored}  # type: ignore[attr-defined]


@pytest.mark.parametrize("prefix", ["", "archive/", "data/archive/"])
def test_splits_are_found_below_a_wrapping_folder_and_wrapped_themselves(tmp_path: Path, prefix: str) -> None:
    put(tmp_path, *under(f"{prefix}train/train", f"{prefix}val/val"))
    splits = open_folder(tmp_path)
    assert {name: len(source) for name, source in splits.present().items()} == {"train": 2, "validation": 2}
    assert splits.classes == ("cat", "dog")


@pytest.mark.parametrize("folder", ["dev", "eval", "Val", "VALIDATION"])
def test_words_for_validation(tmp_path: Path, folder: str) -> None:
    assert list(open_folder(put(tmp_path, *under("Train", folder))).present()) == ["train", "validation"]


def test_one_class_or_a_class_to_be_filled_is_not_entered(tmp_path: Path) -> None:
    put(tmp_path / "one", "cat/1.png")
    put(tmp_path / "two", "cat/2020/1.png", "cat/2021/1.png")
    (tmp_path / "two" / "dog").mkdir()
    assert open_folder(tmp_path / "one").classes == ("cat",)
    assert open_folder(tmp_path / "two").classes == ("cat", "dog")


def test_images_that_are_not_in_class_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "detection", "images/1.png", "labels/1.txt")
    with pytest.raises(DataError, match="images/ alone holds images"):
        open_folder(tmp_path / "detection")
    put(tmp_path / "flat", "train_images/1.png", "test_images/1.png", "notes/1.txt")
    with pytest.raises(DataError, match="test_images, train_images hold no class folders"):
        open_folder(tmp_path / "flat")


def test_links_that_go_round_do_not_hang(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    put(tmp_path, "root/x.txt")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "a")
    with pytest.raises(DataError, match="no images"):
        open_folder(tmp_path / "root")


def test_a_tidy_folder_is_listed_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *under("."))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("opened"))
    assert find_layout(Folder(str(tmp_path))).splits == {"train": Folder(str(tmp_path))}
