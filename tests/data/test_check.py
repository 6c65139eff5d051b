"""A folder with every fault at once, and one with none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitascope.data.check import Finding, Report, check_data
from vitascope.data.kept import ArraySource
from vitascope.data.source import Splits
from vitascope.errors import DataError


def put(path: Path, seed: int, size: tuple[int, int] = (20, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tidy(tmp_path: Path) -> Path:
    for number, (split, label, index) in enumerate(
        (split, label, index) for split in ("train", "val") for label in ("ant", "bee") for index in range(3)
    ):
        put(tmp_path / split / label / f"{index}.png", number)
    return tmp_path


def found(findings: tuple[Finding, ...], kind: str) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


def test_tidy_data_has_nothing_to_say(tidy: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    report = check_data(tidy, progress=lambda split, done, total: calls.append((split, done, total)))
    assert report.problems == ()
    assert report.notes == ()
    assert report.classes == ("ant", "bee")
    train = report.splits["train"]
    assert (train.images, train.readable) == (6, 6)
    assert train.per_class == {"ant": 3, "bee": 3}
    assert (train.heights, train.widths) == ((16, 16, 16), (20, 20, 20))
    assert train.sizes == {"20×16": 6}
    assert calls == [(split, i + 1, 6) for split in ("train", "validation") for i in range(6)]


def test_every_unreadable_file_is_listed_with_its_reason(tidy: Path) -> None:
    whole = (tidy / "train" / "ant" / "0.png").read_bytes()
    bad = {"cut.png": whole[:-200], "text.jpg": b"hello", "empty.png": b""}
    for name, content in bad.items():
        (tidy / "train" / "bee" / name).write_bytes(content)
    report = check_data(str(tidy))
    unreadable = found(report.problems, "unreadable")
    assert {Path(f.where).name for f in unreadable} == set(bad)
    assert all(f.what.startswith(f.where) for f in unreadable)
    assert (report.splits["train"].images, report.splits["train"].readable) == (9, 6)
    assert len(report.problems) == 3


def test_duplicates(tidy: Path) -> None:
    train, val = tidy / "train", tidy / "val"
    (val / "ant" / "copy.png").write_bytes((train / "ant" / "0.png").read_bytes())
    Image.open(train / "bee" / "1.png").save(train / "ant" / "other file same pixels.bmp")
    (val / "bee" / "again.png").write_bytes((val / "bee" / "2.png").read_bytes())
    report = check_data(tidy)
    (duplicate,) = found(report.problems, "duplicate")
    assert duplicate.where == str(train / "ant" / "0.png")
    assert str(val / "ant" / "copy.png") in duplicate.what
    assert "in another split" in duplicate.what
    (conflict,) = found(report.problems, "conflict")
    assert "under ant and bee" in conflict.what
    (note,) = found(report.notes, "duplicate")
    assert {Path(note.where).name, Path(note.what.removeprefix("same pixels as ")).name} == {"2.png", "again.png"}
    assert len(report.problems) == 2


def test_images_of_equal_bytes_but_other_shape_are_no_duplicates() -> None:
    images = [np.zeros((2, 8, 3), np.uint8), np.zeros((8, 2, 3), np.uint8)]
    source = ArraySource("s", ("a", "b"), np.array([0, 1]), images)
    assert not found(check_data(Splits(train=source)).problems, "conflict")


def test_tiny_long_and_ignored_files(tidy: Path) -> None:
    put(tidy / "train" / "ant" / "dot.png", 50, (1, 1))
    put(tidy / "train" / "ant" / "line.png", 51, (100, 10))
    (tidy / "train" / "ant" / "notes.txt").write_text("x")
    (tidy / "train" / "bee" / ".DS_Store").write_text("x")
    report = check_data(tidy)
    assert report.problems == ()
    assert [(Path(f.where).name, f.what[:5]) for f in found(report.notes, "tiny")] == [("dot.png", "1×1 p")]
    assert [Path(f.where).name for f in found(report.notes, "aspect")] == ["line.png"]
    assert {Path(f.where).name for f in found(report.notes, "ignored")} == {"notes.txt", ".DS_Store"}
    assert report.splits["train"].widths == (1, 20, 100)


def test_images_passed_over_are_problems_by_kind_and_paths_as_they_are(
    tidy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(3):
        (tidy / "train" / "bee" / f"{index}.png").unlink()
        (tidy / "train" / "bee" / f"{index}.jxl").write_bytes(b"x")
    (tidy / "train" / "notes.txt").write_text("x")
    monkeypatch.chdir(tidy.parent)
    report = check_data(tidy.name)
    (passed_over,) = found(report.problems, "passed over")
    assert passed_over.where == f"{tidy.name}/train/bee/0.jxl"
    assert passed_over.what == "3 JPEG XL; save them as PNG or JPEG"
    (empty,) = found(report.problems, "empty class")
    assert "no images in train can be read; passed over: 3 JPEG XL" in empty.what
    assert [note.where for note in found(report.notes, "ignored")] == [f"{tidy.name}/train/notes.txt"]


def test_dark_images_and_damaged_exif_are_counted(tidy: Path) -> None:
    for index in range(3):
        dark = np.random.default_rng(index).integers(0, 4096, (16, 20), dtype=np.uint16)
        Image.fromarray(dark).save(tidy / "train" / "ant" / f"xray{index}.png")
    exif = Image.Exif()
    exif[0x010F] = "a camera of a long name"
    Image.new("RGB", (20, 16)).save(tidy / "val" / "ant" / "x.jpg", exif=exif.tobytes()[:-14])
    report = check_data(tidy)
    (dark_ones,) = found(report.problems, "dark")
    assert dark_ones.where == str(tidy / "train" / "ant" / "xray0.png")
    assert dark_ones.what.startswith("3 of 9 images use less than 12 of their 16 bits")
    (damaged,) = found(report.notes, "damaged EXIF")
    assert damaged.what.startswith("1 of 7 images have damaged metadata")


def test_small_images_are_not_tiny_where_all_are_small() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    report = check_data(Splits(train=ArraySource("s", ("a", "b"), np.array([0, 1, 0, 1]), images)))
    assert not found(report.notes, "tiny")


def test_classes(tidy: Path) -> None:
    (tidy / "train" / "cow").mkdir()
    (tidy / "val" / "cow").mkdir()
    for number in range(27):
        put(tidy / "train" / "ant" / f"more{number}.png", 100 + number)
    report = check_data(tidy)
    assert [(f.where, "train" in f.what) for f in found(report.problems, "empty class")] == [("cow", True)]
    assert [f.where for f in found(report.notes, "empty class")] == ["cow"]
    (imbalance,) = found(report.notes, "imbalance")
    assert imbalance.what.startswith("30 images of ant, 3 of bee")


def test_one_class_and_one_split(tmp_path: Path) -> None:
    put(tmp_path / "only" / "1.png", 0)
    report = check_data(tmp_path)
    assert [f.kind for f in report.problems] == ["classes"]
    assert [f.kind for f in report.notes] == ["splits"]
    held = ArraySource("s", ("a", "b"), np.array([0, 1]), np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3))
    assert "no train split" in found(check_data(Splits(test=held)).notes, "splits")[0].what


def test_data_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        check_data(tmp_path / "absent")


def test_the_report_is_json(tidy: Path) -> None:
    (tidy / "train" / "bee" / "bad\n.jpg").write_bytes(b"x")
    report = check_data(tidy)
    text = json.dumps(report.to_json())
    content = json.loads(text)
    assert set(content) == {"data", "classes", "splits", "problems", "notes"}
    assert content["problems"][0]["kind"] == "unreadable"
    assert "\n" not in content["problems"][0]["where"] + content["problems"][0]["what"]
    assert content["splits"]["train"]["per_class"] == {"ant": 3, "bee": 4}


def test_real_photographs(real_data: Path) -> None:
    report: Report = check_data(real_data / "ants_bees")
    assert report.problems == ()
    assert sum(split.readable for split in report.splits.values()) == 397
