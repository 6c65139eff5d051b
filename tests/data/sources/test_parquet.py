"""Parquet in the Hub's layout, and what people make of it."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pictures import png
from vitascope.data.sources import parquet
from vitascope.data.sources.parquet import open_parquet
from vitascope.errors import DataError, ImageError


def write(
    path: Path,
    labels: Any,
    *,
    names: list[str] | None = None,
    image: str = "img",
    label: str = "label",
    more: dict[str, Any] | None = None,
    images: Any = None,
    rows: int = 2,
) -> Path:
    """A small file with the pixel value 10 × row, in row groups of `rows`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [{"bytes": png(10 * i), "path": f"{i}.png"} for i in range(len(labels))] if images is None else images
    table = pa.table({image: content, label: labels, **(more or {})})
    if names:
        features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=rows)
    return path


def refused(match: str, path: Path, **options: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        open_parquet(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path.name) in str(caught.value)


def test_the_hubs_layout(tmp_path: Path) -> None:
    names = ["cat", "ape"]
    write(tmp_path / "train-00000-of-00002.parquet", [0, 1, 1], names=names)
    write(tmp_path / "train-00001-of-00002.parquet", [1, 0], names=names)
    write(tmp_path / "validation-00000-of-00001.parquet", [0], names=names)
    write(tmp_path / "test.parquet", [1], names=names)
    splits = open_parquet(tmp_path)
    assert list(splits.present()) == ["train", "validation", "test"]
    train = splits.train
    assert train is not None
    assert train.classes == ("cat", "ape")  # the file's order, not sorted
    assert train.labels.tolist() == [0, 1, 1, 1, 0]
    assert train.labels.dtype == np.int64
    assert [int(train[i][0, 0, 0]) for i in range(5)] == [0, 10, 20, 0, 10]
    assert train[0].shape == (2, 3, 3)
    assert train.describe(3) == f"{tmp_path.name} train[3]"
    assert int(train[-1][0, 0, 0]) == 10
    with pytest.raises(IndexError, match="has 5 images"):
        train[5]


@pytest.mark.parametrize("layout", ["data/train-00000-of-00001.parquet", "train/0000.parquet", "some.parquet"])
def test_where_split_names_are_found(tmp_path: Path, layout: str) -> None:
    write(tmp_path / layout, [0, 1])
    assert list(open_parquet(tmp_path).present()) == ["train"]


def test_a_single_file_is_the_split_of_its_name(tmp_path: Path) -> None:
    assert list(open_parquet(write(tmp_path / "test-00000-of-00001.parquet", [0, 1])).present()) == ["test"]
    assert list(open_parquet(write(tmp_path / "birds.parquet", [0, 1])).present()) == ["train"]
    # One shard of several, given alone, is meant.
    assert list(open_parquet(write(tmp_path / "train-00000-of-00002.parquet", [0, 1])).present()) == ["train"]


def test_images_are_not_decoded_until_asked_for(tmp_path: Path) -> None:
    images = [{"bytes": b"broken", "path": "a"}, {"bytes": None, "path": "b"}, {"bytes": png(7), "path": "c"}]
    train = open_parquet(write(tmp_path / "a.parquet", [0, 1, 0], images=images)).train
    assert train is not None
    assert train[2][0, 0, 0] == 7
    with pytest.raises(ImageError, match=r"a train\[0\]: not a JPEG"):
        train[0]
    with pytest.raises(ImageError, match=r"a train\[1\]: no image bytes"):
        train[1]


def test_a_row_may_not_name_a_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(png(1))
    images = [{"bytes": None, "path": str(tmp_path / "private.png")}, {"bytes": png(7), "path": "c"}]
    train = open_parquet(write(tmp_path / "a.parquet", [0, 1], images=images)).train
    assert train is not None
    with pytest.raises(ImageError, match="no image bytes"):
        train[0]


def test_plain_binary_columns_and_large_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": pa.array([png(5)], pa.large_binary()), "label": [0]}), path)
    train = open_parquet(path).train
    assert train is not None
    assert train[0][0, 0, 0] == 5


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_string_labels_are_sorted_over_all_splits(tmp_path: Path, kind: pa.DataType) -> None:
    write(tmp_path / "train.parquet", pa.array(["dog", "cat"]).cast(kind))
    write(tmp_path / "test.parquet", pa.array(["ape", "dog"]).cast(kind))
    splits = open_parquet(tmp_path)
    assert splits.classes == ("ape", "cat", "dog")
    assert [source.labels.tolist() for source in splits.present().values()] == [[2, 1], [0, 2]]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int64(), pa.bool_()])
def test_whole_numbers_without_names(tmp_path: Path, kind: pa.DataType) -> None:
    splits = open_parquet(write(tmp_path / "a.parquet", pa.array([1, 0, 1]).cast(kind)))
    assert splits.classes == ("0", "1")
    assert splits.train is not None
    assert splits.train.labels.tolist() == [1, 0, 1]


def test_another_label_column(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [0, 1, 2], label="fine_label", more={"coarse_label": [1, 1, 0]})
    train, coarse = open_parquet(tmp_path).train, open_parquet(tmp_path, label="coarse_label").train
    assert train is not None
    assert coarse is not None
    assert (train.labels.tolist(), train.classes) == ([0, 1, 2], ("0", "1", "2"))
    assert (coarse.labels.tolist(), coarse.classes) == ([1, 1, 0], ("0", "1"))
    refused("no column 'course' for label=, expected one of: img, fine_label, coarse_label", tmp_path, label="course")
    refused("expected image bytes", tmp_path, image="fine_label")


def test_columns_of_other_names(tmp_path: Path) -> None:
    write(tmp_path / "a" / "a.parquet", [0, 1], image="photo", label="species", names=["x", "y"])
    assert open_parquet(tmp_path / "a").classes == ("x", "y")
    write(tmp_path / "b" / "b.parquet", [0, 1], image="photo", label="species")
    refused("no label column among photo, species; name it by adding :label=COLUMN", tmp_path / "b")
    assert open_parquet(tmp_path / "b", label="species").classes == ("0", "1")


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    refused("labels from 0 to 2, expected 0 to 1", write(tmp_path / "a.parquet", [0, 2], names=["x", "y"]))
    refused("train lacks 1 label;", write(tmp_path / "b.parquet", [0, None]))
    refused("labels are double, expected integers or strings", write(tmp_path / "c.parquet", [0.5, 1.0]))
    refused("labels from -1 to 1", write(tmp_path / "d.parquet", [-1, 1]))
    refused("labels mouse are not among", write(tmp_path / "e.parquet", ["cat", "mouse"], names=["cat", "dog"]))


def test_hidden_labels_leave_the_split_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "train.parquet", [0, 1], names=["x", "y"])
    write(tmp_path / "test.parquet", [-1, -1], names=["x", "y"])
    assert list(open_parquet(tmp_path).present()) == ["train"]
    assert "hidden" in caplog.text
    refused("hidden", tmp_path / "test.parquet")


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write(tmp_path / "a" / "train.parquet", [0, 1], names=["x", "y"])
    write(tmp_path / "a" / "test.parquet", [0, 1], names=["x", "z"])
    with pytest.raises(DataError, match="class names differ"):
        open_parquet(tmp_path / "a")
    write(tmp_path / "b" / "train-00000-of-00003.parquet", [0, 1])
    refused("1 of 3 files of train", tmp_path / "b")
    write(tmp_path / "c" / "one" / "train-00000-of-00001.parquet", [0, 1])
    write(tmp_path / "c" / "two" / "train-00000-of-00001.parquet", [0, 1])
    refused("several data sets", tmp_path / "c")


def test_damaged_files(tmp_path: Path) -> None:
    good = write(tmp_path / "good.parquet", [0, 1]).read_bytes()
    for name, content in {"text": b"hello", "empty": b"", "cut": good[: len(good) // 2]}.items():
        (tmp_path / f"{name}.parquet").write_bytes(content)
        refused("not a readable parquet file", tmp_path / f"{name}.parquet")
    (tmp_path / "none").mkdir()
    refused("no parquet files", tmp_path / "none")
    no_images = pa.array([], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    refused("has no rows", write(tmp_path / "rows.parquet", pa.array([], pa.int64()), images=no_images))


def test_large_files_are_mapped_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path / "data" / "train.parquet", [0, 1, 1, 0, 1])
    monkeypatch.setattr(parquet, "MEMORY_BYTES", 200)  # less than the images
    for _ in range(2):
        train = open_parquet(path).train
        assert train is not None
        assert [int(train[i][0, 0, 0]) for i in range(5)] == [0, 10, 20, 30, 40]
    copies = list((tmp_path / "cache").rglob("*"))
    assert [copy.suffix for copy in copies if copy.is_file()] == [".arrow"]
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "file"))
    source = open_parquet(path).train
    assert source is not None
    with pytest.raises(DataError, match="set VITASCOPE_CACHE"):
        source[0]


def test_a_damaged_copy_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parquet, "MEMORY_BYTES", 200)
    images = [{"bytes": png(10 * i), "path": ""} for i in range(4)] + [{"bytes": None, "path": ""}]
    path = write(tmp_path / "train.parquet", [0, 1, 1, 0, 1], images=images)

    def check(source: Any) -> None:
        assert [int(source[i][0, 0, 0]) for i in range(4)] == [0, 10, 20, 30]
        with pytest.raises(ImageError, match="no image bytes"):
            source[4]

    check(open_parquet(path).train)
    (copy,) = (tmp_path / "cache").rglob("*.arrow")
    sound = copy.read_bytes()
    at = sound.index(png(20))
    flipped = sound[: at + 50] + bytes([sound[at + 50] ^ 1]) + sound[at + 51 :]
    draw = random.Random(0)
    places = [draw.randrange(len(sound)) for _ in range(60)]
    changed = [sound[:at] + bytes([sound[at] ^ 1 << at % 8]) + sound[at + 1 :] for at in places]
    for content in (sound[: len(sound) // 2], b"", bytes(len(sound)), flipped, *changed):
        copy.unlink()
        copy.write_bytes(content)
        caplog.clear()
        source = open_parquet(path).train
        check(source)
        check(source)
        said = [message.rpartition("; ")[2] for message in caplog.messages]
        assert said == ["written anew"] or (not said and content in changed)  # some bytes are padding
        assert copy.read_bytes() == (sound if said else content)


def test_pickled_as_paths_not_as_pixels(tmp_path: Path) -> None:
    images = [{"bytes": png(i) + bytes(100_000), "path": ""} for i in range(3)]
    train = open_parquet(write(tmp_path / "a.parquet", [0, 1, 1], images=images)).train
    assert train is not None
    assert train[2][0, 0, 0] == 2
    pickled = pickle.dumps(train)
    assert len(pickled) < 5_000
    assert np.array_equal(pickle.loads(pickled)[1], train[1])


def test_real_cifar(real_data: Path) -> None:
    splits = open_parquet(real_data / "cifar100")
    assert {name: len(source) for name, source in splits.present().items()} == {"train": 50_000, "test": 10_000}
    assert splits.classes[:2] == ("apple", "aquarium_fish")
    assert splits.test is not None
    assert set(np.bincount(splits.test.labels)) == {100}
    assert splits.test[9_999].shape == (32, 32, 3)
