"""Class folders as people have them: untidy."""

from __future__ import annotations

import os
import pickle
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from pictures import put
from vitascope.data import walk
from vitascope.data.source import Source
from vitascope.data.sources.folder import FolderSource, open_folder
from vitascope.errors import DataError, ImageError


def only_train(path: Path) -> FolderSource:
    splits = open_folder(path)
    assert list(splits.present()) == ["train"]
    assert isinstance(splits.train, FolderSource)
    return splits.train


def refused(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        open_folder(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or repr(str(path))[1:-1] in str(caught.value)


def test_classes_and_paths_are_sorted_whatever_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("zebra/2.png", "zebra/1.png", "Ant/b.png", "bee/a.png"):
        put(tmp_path / name)
    expected = only_train(tmp_path)
    assert expected.classes == ("Ant", "bee", "zebra")
    assert expected.paths == tuple(
        os.path.join(*p.split("/")) for p in ("Ant/b.png", "bee/a.png", "zebra/1.png", "zebra/2.png")
    )
    assert expected.labels.tolist() == [0, 1, 2, 2]
    assert expected.labels.dtype == np.int64
    assert expected.describe(0) == str(tmp_path / "Ant" / "b.png")

    real = os.scandir
    monkeypatch.setattr(walk.os, "scandir", lambda path: Turned(real(path)))
    turned = only_train(tmp_path)
    assert (turned.classes, turned.paths) == (expected.classes, expected.paths)


class Turned:
    """os.scandir, the other way round."""

    def __init__(self, entries: object) -> None:
        self.entries = entries

    def __enter__(self) -> list[object]:
        return sorted(self.entries, key=lambda entry: entry.name, reverse=True)  # type: ignore[call-overload]

    def __exit__(self, *error: object) -> None:
        self.entries.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_splits(tmp_path: Path, name: str) -> None:
    for split in ("train", name, "test"):
        for label in ("a", "b"):
            put(tmp_path / split / label / "1.png")
    splits = open_folder(tmp_path)
    assert list(splits.present()) == ["train", "validation", "test"]
    assert splits.train is not None
    assert splits.train.name == f"{tmp_path.name} train"
    assert splits.train.describe(1) == str(tmp_path / "train" / "b" / "1.png")


def test_splits_with_different_classes_are_refused(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png"):
        put(tmp_path / name)
    with pytest.raises(DataError, match="lacks: b; has besides: c"):
        open_folder(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "val/a/1.png", "validation/a/1.png"):
        put(tmp_path / name)
    refused(tmp_path, "both val/ and validation/")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train/1.png", "bus/1.png"):
        put(tmp_path / name)
    assert only_train(tmp_path).classes == ("bus", "train")


def test_splits_without_class_folders_are_refused(tmp_path: Path) -> None:
    for name in ("train/1.png", "test/1.png"):
        put(tmp_path / name)
    refused(tmp_path, "test, train hold no class folders")


def test_other_folders_beside_splits_are_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/a/1.png", "notes/x/1.png"):
        put(tmp_path / name)
    assert only_train(tmp_path).classes == ("a",)
    assert [message.endswith("notes: ignored beside the splits") for message in caplog.messages] == [True]


def test_litter_is_ignored_and_counted(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.JPG")
    put(tmp_path / "a" / "1.jpg")
    put(tmp_path / "a" / "deep" / "er" / "2.Png")
    put(tmp_path / "loose.png")
    for name in ("a/.DS_Store", "a/Thumbs.db", "a/._1.jpg", "a/notes.txt", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    put(tmp_path / ".hidden" / "1.png")
    put(tmp_path / "a" / ".hidden" / "1.png")
    source = only_train(tmp_path)
    assert source.classes == ("a",)
    assert sorted(Path(path).as_posix() for path in source.paths) == ["a/1.JPG", "a/1.jpg", "a/deep/er/2.Png"]
    ignored = sorted(Path(path).name for path in source.ignored)
    hidden = [".DS_Store", "._1.jpg", ".hidden", ".hidden"]
    assert ignored == [*hidden, "README.md", "Thumbs.db", "loose.png", "notes.txt"]


def test_odd_names(tmp_path: Path) -> None:
    names = ["a b", "é", "猫", "new\nline"]
    for name in names:
        put(tmp_path / name / "x y\n猫.png", 7)
    source = only_train(tmp_path)
    assert source.classes == tuple(sorted(names))
    assert all(source[i][0, 0, 0] == 7 for i in range(4))


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_class_name_that_is_no_text_is_refused_and_an_images_is_not(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    put(tmp_path / "a" / f"{odd}.png", 7)
    assert only_train(tmp_path)[0][0, 0, 0] == 7
    put(tmp_path / odd / "1.png")
    with pytest.raises(DataError, match=r"caf\\udce9.*not UTF-8; rename the folder") as caught:
        open_folder(tmp_path)
    assert str(caught.value).isprintable()


def test_decomposed_names_are_the_same_class(tmp_path: Path) -> None:
    put(tmp_path / "train" / unicodedata.normalize("NFD", "é") / "1.png")
    put(tmp_path / "val" / unicodedata.normalize("NFC", "é") / "1.png")
    assert open_folder(tmp_path).classes == ("é",)


def test_links_that_go_round_do_not_hang(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        put(tmp_path / name)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "root").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "other").symlink_to(tmp_path / "b", target_is_directory=True)
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a", target_is_directory=True)
    source = only_train(tmp_path)
    assert source.classes == ("a", "b")
    assert sorted(Path(path).as_posix() for path in source.paths) == [
        "a/1.png",
        "a/other/1.png",
        "b/1.png",
        "b/other/1.png",
    ]


def test_a_link_to_nowhere_is_an_item_that_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "2.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "a" / "3.png").symlink_to(tmp_path / "a" / "3.png")
    source = only_train(tmp_path)
    assert len(source) == 3
    for index in (1, 2):
        with pytest.raises(ImageError, match=rf"{index + 1}\.png"):
            source[index]


def test_empty_class_folders_stay_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    source = only_train(tmp_path)
    assert source.classes == ("a", "b")
    assert source.labels.tolist() == [0]
    assert "without images: b" in caplog.text


def test_a_class_whose_images_are_all_passed_over_is_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "a" / "1.png")
    for name in ("1.jxl", "2.jxl", "notes.txt"):
        (tmp_path / "b" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "b" / name).write_bytes(b"x")
    (tmp_path / "c").mkdir()
    source = only_train(tmp_path)
    assert source.classes == ("a", "b", "c")
    assert source.lost == {"b": "passed over: 2 JPEG XL (save them as PNG or JPEG)"}
    assert "passed over: 2 JPEG XL (save them as PNG or JPEG); 1 of other kinds" in caplog.text


def test_nothing_to_open(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "cannot be listed")
    (tmp_path / "bare").mkdir()
    refused(tmp_path / "bare", "no class folders and no images")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    refused(tmp_path / "empty", "no images in its 1 folders")
    put(tmp_path / "flat" / "1.png")
    refused(tmp_path / "flat", "1 images but no class folders")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_and_file(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "1.png").chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        only_train(tmp_path)[0]
    (tmp_path / "b").mkdir(mode=0)
    refused(tmp_path, "Permission denied")
    (tmp_path / "b").chmod(0o700)


def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    real = os.scandir

    def forbidden(path: str) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(walk.os, "scandir", forbidden)
    with pytest.raises(DataError, match=r"b: cannot be listed \(Permission denied\)"):
        open_folder(tmp_path)


def test_a_source_survives_pickling(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png", 9)
    copy: Source = pickle.loads(pickle.dumps(only_train(tmp_path)))
    assert copy[0][0, 0, 0] == 9


def test_real_photographs(real_data: Path) -> None:
    splits = open_folder(real_data / "ants_bees")
    assert {name: len(source) for name, source in splits.present().items()} == {"train": 244, "validation": 153}
    assert splits.classes == ("ants", "bees")
    assert splits.train is not None
    assert np.bincount(splits.train.labels).tolist() == [123, 121]
    assert splits.train[10].ndim == 3
