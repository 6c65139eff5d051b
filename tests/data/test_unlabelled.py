"""Images that nobody labelled: opened where no labels are needed, refused in one line where they are."""

from __future__ import annotations

import io
import logging
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pictures import png, put
from tiny import CLASSES, image_folder, pretrain_recipe
from vitascope.cli import main
from vitascope.data.check import check_data
from vitascope.data.open import open_data
from vitascope.data.source import Source
from vitascope.errors import DataError, UnlabelledError
from vitascope.recipes.pretrain import pretrain

LOOSE = ("1.png", "2024/2.png", "2024/summer/deep/3.png", "2023/4.jpg.png")


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def bare(spec: object) -> dict[str, Source]:
    """Splits without labels, which every one of them shows."""
    present = open_data(str(spec), labels=False).present()
    for source in present.values():
        assert source.classes == ()
        assert source.labels.tolist() == [0] * len(source)
        assert all(source[index].ndim == 3 for index in range(len(source)))
    return present


def needs_labels(spec: object, match: str) -> None:
    with pytest.raises(UnlabelledError, match=match) as caught:
        open_data(str(spec))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("(`pretrain --objective masked` needs no labels)")


def folder(path: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        put(path / name, number)
    return path


def names(source: Source, root: Path) -> list[str]:
    return [Path(source.describe(index)).relative_to(root).as_posix() for index in range(len(source))]


def test_a_folder_of_images_in_any_order(tmp_path: Path) -> None:
    place = folder(tmp_path / "photos", *LOOSE)
    (place / "notes.txt").write_text("x")
    (train,) = bare(place).values()
    assert names(train, place) == sorted(LOOSE)
    assert train.name == "photos"
    assert [Path(path).name for path in train.ignored] == ["notes.txt"]
    assert train.contents() == open_data(str(place), labels=False).present()["train"].contents()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("train/1.png", "val/a/2.png"), {"train": ["train/1.png"], "validation": ["val/a/2.png"]}),
        (("Training/1.png", "test2017/2.png"), {"train": ["Training/1.png"], "test": ["test2017/2.png"]}),
        (("1.png", "2024/2.png", "test/3.png"), {"train": ["1.png", "2024/2.png"], "test": ["test/3.png"]}),
        (("train/1.png", "car/2.png"), {"train": ["car/2.png", "train/1.png"]}),
        (("steam train/1.png", "2.png"), {"train": ["2.png", "steam train/1.png"]}),
        (("set/train/a/1.png", "set/val/b/2.png"), {"train": ["set/train/a/1.png"], "validation": ["set/val/b/2.png"]}),
    ],
)
def test_splits_by_the_names_of_folders(tmp_path: Path, files: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    found = bare(folder(tmp_path / "photos", *files))
    assert {split: names(source, tmp_path / "photos") for split, source in found.items()} == expected


def test_what_lies_beside_splits_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = folder(tmp_path / "photos", "train/1.png", "val/2.png", "more/3.png", "4.png")
    assert {split: len(source) for split, source in bare(place).items()} == {"train": 1, "validation": 1}
    assert [f"{path}: images beside the splits are left out" for path in (place / "more", place)] == caplog.messages
    folder(place, "training/5.png")
    with pytest.raises(DataError, match=r"both train/ and training/, expected one train split"):
        bare(place)


def test_a_folder_without_images_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty" / "a").mkdir(parents=True)
    for labels in (True, False):
        with pytest.raises(DataError, match="no images") as caught:
            open_data(str(tmp_path / "empty"), labels=labels)
        assert not isinstance(caught.value, UnlabelledError)


def test_labels_that_are_there_are_not_seen(tmp_path: Path) -> None:
    place = image_folder(tmp_path / "photos", 6)
    assert open_data(str(place)).classes == CLASSES
    assert len(bare(place)["train"]) == 6
    assert {name: len(source) for name, source in bare("digits").items()} == {"train": 1347, "test": 450}
    fractals = open_data("fractals:classes=2,size=8,instances=3", seed=1, labels=False)
    assert fractals.classes == ()


def test_parquet_without_a_column_of_labels(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": png(n), "path": None} for n in range(3)], "caption": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    pq.write_table(table.slice(0, 1), tmp_path / "test-00000-of-00001.parquet")
    found = bare(tmp_path)
    assert [int(found["train"][n][0, 0, 0]) for n in range(3)] == [0, 1, 2]
    assert len(found["test"]) == 1
    needs_labels(tmp_path, "no label column among image, caption; name it by adding :label=COLUMN")
    pq.write_table(table.rename_columns(["img", "caption"]), tmp_path / "val-00000-of-00001.parquet")
    with pytest.raises(DataError, match="columns or class names differ"):
        bare(tmp_path)
    pq.write_table(table.slice(0, 0), tmp_path / "val-00000-of-00001.parquet")
    with pytest.raises(DataError, match="the validation split has no rows"):
        bare(tmp_path)


def test_shards_without_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {"a.1.png": png(1), "a.2.png": png(2), "b.png": png(3), "b.mask.png": png(4), "b.cls": b"3"}
    path = write(tmp_path / "s-train-0.tar", files)
    (train,) = bare(path).values()
    assert [int(train[n][0, 0, 0]) for n in range(len(train))] == [1, 2, 3]
    assert ".mask.png 1" in caplog.text
    needs_labels(write(tmp_path / "t.tar", {"a.png": png(1)}), "no label, expected a .cls or .json file")
    with pytest.raises(DataError, match="no images in the train shards, expected files such as"):
        bare(write(tmp_path / "u.tar", {"a.cls": b"1"}))


def test_a_check_says_that_there_are_no_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path / "photos", "1.png", "2.png", "3.png")
    put(place / "4.png", 1)
    report = check_data(str(place))
    assert report.classes == ()
    assert report.splits["train"].per_class == {}
    assert (report.splits["train"].images, report.problems) == (4, ())
    kinds = {finding.kind: finding.what for finding in report.notes}
    assert "4 images but no class folders" in kinds["unlabelled"]
    assert kinds["duplicate"].startswith("same pixels as")
    assert main(["check", str(place)]) == 0
    told = capsys.readouterr()
    assert "4 images of 0 classes (train 4): no problems found" in told.out
    assert "train: 4 images" in told.err


@pytest.mark.usefixtures("no_pictures")
def test_a_run_of_masked_images_and_commands_that_need_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place = image_folder(tmp_path / "photos", 20)
    for number, path in enumerate(place.rglob("*.png")):
        path.rename(place / f"{number:03}.png")
    for inner in place.glob("*/"):
        inner.rmdir()
    changes = {"objective": "masked", "model": "ViT-Ti/4", "steps": 2, "holdout": 0.2, "data": str(place)}
    model = pretrain(pretrain_recipe(tmp_path / "run", **changes))
    assert "4 of 20 training images are held out" in caplog.text
    for words in (
        ["pretrain", str(place), "--out", str(tmp_path / "x")],
        ["finetune", str(model), str(place), "--out", str(tmp_path / "x")],
        ["fewshot", str(model), str(place)],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert "20 images but no class folders, expected CLASS/IMAGE" in said
        assert not (tmp_path / "x").exists()
