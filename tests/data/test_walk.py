"""What systems leave behind is no image and no class, and what is passed over is told in one line."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pictures import put
from vitascope.data.passed_over import grouped, sentence
from vitascope.data.sources.folder import FolderSource, open_folder
from vitascope.data.walk import Folder, is_litter
from vitascope.errors import DataError
from vitascope.inference.files import find_images

LITTER = [
    "__MACOSX",
    "@eaDir",
    "@Recycle",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    ".ipynb_checkpoints",
    "__pycache__",
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        put(tmp_path / name / "1.png")
    return tmp_path


@pytest.mark.parametrize("name", LITTER)
def test_litter_is_neither_class_nor_image_anywhere(photos: Path, name: str) -> None:
    for place in (photos, photos / "cat"):
        put(place / name / "x.png")
        put(place / name / "deep" / "x.png")
    (photos / "cat" / "._1.png").write_bytes(b"\0\5\26\7")
    (photos / "cat" / "Thumbs.db").write_bytes(b"x")
    train = open_folder(photos).train
    assert isinstance(train, FolderSource)
    assert (train.classes, len(train)) == (("cat", "dog"), 2)
    expected = {photos / name, photos / "cat" / name, photos / "cat" / "._1.png", photos / "cat" / "Thumbs.db"}
    assert {Path(path) for path in train.ignored} == expected
    assert find_images([str(photos)]) == [photos / "cat" / "1.png", photos / "dog" / "1.png"]


@pytest.mark.parametrize("marks", [["config.yaml", "checkpoints/"], ["config.json", "model.safetensors"]])
def test_runs_and_checkpoints_inside_are_passed_over(photos: Path, marks: list[str]) -> None:
    for place in (photos / "run", photos / "runs" / "first", photos / "cat" / "run"):
        for mark in marks:
            (place / mark).mkdir(parents=True) if mark.endswith("/") else put(place / mark, kind="PNG")
        put(place / "figures" / "x.png")
    train = open_folder(photos).train
    assert train is not None
    assert (train.classes, len(train)) == (("cat", "dog"), 2)
    assert len(find_images([str(photos)])) == 2


def test_names_that_are_nobodys_litter() -> None:
    assert not any(is_litter(name) for name in ("recycle", "lost", "macosx", "a.jpg", "runs", "thumbs"))


def test_what_is_passed_over_is_told_by_kind(tmp_path: Path) -> None:
    for name in ("a.jxl", "b.JXL", "c.ppm", ".hidden", "notes.txt", "data"):
        (tmp_path / name).write_bytes(b"x")
    put(tmp_path / "bare", kind="JPEG")
    put(tmp_path / "url.jpg?w=200", kind="JPEG")
    put(tmp_path / "loose.png")
    groups = grouped(str(path) for path in sorted(tmp_path.iterdir()))
    assert {group.kind: group.count for group in groups} == {
        "JPEG XL": 2,
        "Netpbm": 1,
        "without an ending": 1,
        "named .jpg?w=200": 1,
        "outside the class folders": 1,
        "hidden or of the system": 1,
        "of other kinds": 2,
    }
    told = sentence(groups)
    assert "2 JPEG XL, 1 Netpbm (save them as PNG or JPEG)" in told
    assert told.endswith("; 1 hidden or of the system, 2 of other kinds")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_sockets_and_links_to_nowhere_do_not_stop_anything(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(photos / "cat" / "pipe")
    monkeypatch.chdir(photos)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("cat/socket")
        Path("gone").symlink_to("nowhere")
        Path("cat/gone").symlink_to("nowhere")
        Path("cat/round").symlink_to("round")
        train = open_folder(".").train
        assert train is not None
        assert len(train) == 2
        assert len(find_images(["."])) == 2
        cases = {"gone": "does not exist", "cat/round": "cannot be read", "x" * 300: "cannot be read"}
        for path, reason in cases.items():
            with pytest.raises(DataError, match=reason):
                find_images([path])


def test_a_folder_that_may_not_be_listed_is_one_line_in_predict_too(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def forbidden(path: str) -> object:
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("vitascope.data.walk.os.scandir", forbidden)
    with pytest.raises(DataError, match=r"dog: cannot be listed \(Permission denied\)"):
        find_images([str(photos)])


def test_predict_names_what_it_passes_over(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "cat" / "new.jxl").write_bytes(b"x")
    assert len(find_images([str(photos)])) == 2
    assert caplog.messages == ["passed over: 1 JPEG XL (save them as PNG or JPEG)"]
    (photos / "none").mkdir()
    (photos / "none" / "x.jxl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no images below .*1 JPEG XL"):
        find_images([str(photos / "none")])


def test_walking_is_in_order_and_listing_sorted(photos: Path) -> None:
    put(photos / "a.png")
    put(photos / "cat" / "b" / "0.png")
    files = [Path(file) for folder in Folder(str(photos)).walk() for file in folder.files]
    assert [path.relative_to(photos).as_posix() for path in files] == [
        "a.png",
        "cat/1.png",
        "cat/b/0.png",
        "dog/1.png",
    ]
    assert [folder.name for folder in Folder(str(photos)).folders] == ["cat", "dog"]
