"""Fingerprints: the same for the same images, another for any change, without decoding where that can be."""

from __future__ import annotations

import dataclasses
import io
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pictures import png
from vitascope.data.kept import ArraySource, in_memory
from vitascope.data.open import open_data
from vitascope.data.shrunk import Shrunk
from vitascope.data.source import Source, View
from vitascope.data.sources.huggingface import HubSource
from vitascope.data.sources.table import TableSource


def write(kind: str, where: Path, values: list[int]) -> str:
    """Images of these values, two classes in turn."""
    where.mkdir(exist_ok=True)
    if kind == "folder":
        for i, value in enumerate(values):
            (where / "ab"[i % 2]).mkdir(exist_ok=True)
            (where / "ab"[i % 2] / f"{i}.png").write_bytes(png(value))
        return str(where)
    if kind == "parquet":
        images = [{"bytes": png(value), "path": None} for value in values]
        pq.write_table(pa.table({"image": images, "label": [i % 2 for i in range(len(values))]}), where / "x.parquet")
        return str(where / "x.parquet")
    with tarfile.open(where / "x.tar", "w") as tar:
        for i, value in enumerate(values):
            for name, content in ((f"{i}.png", png(value)), (f"{i}.cls", str(i % 2).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return str(where / "x.tar")


def train(spec: str) -> Source:
    found = open_data(spec).train
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["folder", "parquet", "webdataset"])
def test_files_are_told_apart_without_reading_images(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write(kind, tmp_path / "data", [1, 2, 3, 4])
    monkeypatch.setattr("vitascope.data.source.read_image", None)
    monkeypatch.setattr(TableSource, "encoded", None)
    first = train(spec).fingerprint()
    assert train(spec).fingerprint() == first
    write(kind, tmp_path / "data", [1, 2, 3, 5])
    for path in (tmp_path / "data").rglob("*.*"):
        os.utime(path, ns=(10**18, 10**18))
    assert train(spec).fingerprint() != first
    write(kind, tmp_path / "more", [1, 2, 3, 4, 5])
    assert train(write(kind, tmp_path / "more", [1, 2, 3, 4, 5])).fingerprint() != first


def test_a_missing_file_is_left_for_reading_to_say(tmp_path: Path) -> None:
    source = train(write("folder", tmp_path / "data", [1, 2]))
    whole = source.fingerprint()
    (tmp_path / "data" / "a" / "0.png").unlink()
    assert source.fingerprint() != whole


def hub(images: list[dict[str, object]]) -> Source:
    dataset = SimpleNamespace(data=pa.table({"image": images}))
    return HubSource("table", ("a",), np.zeros(len(images), np.int64), dataset, "image")


def test_rows_of_any_other_table_are_told_by_their_bytes() -> None:
    def of(*values: int) -> str:
        return hub([{"bytes": png(value), "path": None} for value in values]).fingerprint()

    assert of(1, 2) == of(1, 2)
    assert len({of(1, 2), of(2, 1), of(1, 3)}) == 3


def test_rows_that_name_a_file_are_told_by_it(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(png(1))
    source = hub([{"bytes": None, "path": str(path)}])
    first = source.fingerprint()
    assert source.fingerprint() == first
    os.utime(path, ns=(5, 5))
    assert source.fingerprint() != first


def test_generated_images_are_told_by_what_generates_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.data.sources.fractals.Fractals.read_many", None)
    words = "fractals:classes=3,instances=2,size=8"
    splits = open_data(words)
    assert splits.train is not None
    assert splits.validation is not None
    prints = {splits.train.fingerprint(), splits.validation.fingerprint(), train(f"{words},seed=1").fingerprint()}
    assert len(prints | {train(f"{words},colour=true").fingerprint()}) == 4
    assert train(words).fingerprint() in prints


def test_arrays_are_told_by_their_pixels_order_and_shape() -> None:
    images = np.arange(48, dtype=np.uint8).reshape(2, 2, 4, 3)

    def of(pixels: np.ndarray) -> str:
        return ArraySource("any", ("a",), np.zeros(len(pixels), np.int64), pixels).fingerprint()

    same = ArraySource("other", ("x", "y"), np.ones(2, np.int64), [image.copy() for image in images])
    assert same.fingerprint() == of(images)
    assert len({of(images), of(images[::-1]), of(images.reshape(2, 4, 2, 3)), of(images[:1]), of(images + 1)}) == 5


def test_a_subset_is_its_source_and_its_indices() -> None:
    whole = ArraySource("any", ("a",), np.zeros(3, np.int64), np.arange(9, dtype=np.uint8).reshape(3, 1, 1, 3))

    def of(*indices: int) -> str:
        return View(whole, np.array(indices), "part").fingerprint()

    assert of(0, 1) == of(0, 1)
    assert len({whole.fingerprint(), of(0, 1), of(1, 0), of(0, 2), of(0, 1, 2)}) == 5


@pytest.mark.parametrize("kind", ["folder", "parquet", "webdataset"])
def test_contents_are_names_labels_and_sizes_wherever_they_lie(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitascope.data.source.read_image", None)
    first = train(write(kind, tmp_path / "one", [1, 2, 3, 4]))
    again = train(write(kind, tmp_path / "two", [1, 2, 3, 4]))
    for path in (tmp_path / "two").rglob("*.*"):
        os.utime(path, ns=(10**18, 10**18))
    assert first.contents() == again.contents()
    assert first.fingerprint() != again.fingerprint()
    more = train(write(kind, tmp_path / "three", [1, 2, 3, 4, 5, 6]))
    parts = [View(first, np.array(indices), "part").contents() for indices in ([0, 1], [1, 0], [0, 2])]
    renamed = dataclasses.replace(again, classes=("a", "wasp"))
    other = View(first, classes=("b", "a"), labels=1 - first.labels)
    assert len({first.contents(), more.contents(), renamed.contents(), other.contents(), *parts}) == 7


@pytest.mark.parametrize("kind", ["folder", "parquet", "webdataset"])
def test_contents_are_the_same_where_images_are_kept(kind: str, tmp_path: Path) -> None:
    place = write(kind, tmp_path / "data", [1, 2, 3, 4])
    first = train(place)
    kept = in_memory(first, 1 << 20)
    before = kept.fingerprint()
    for path in (tmp_path / "data").rglob("*.*"):
        os.utime(path, ns=(10**18, 10**18))
    again = in_memory(train(place), 1 << 20)
    assert isinstance(kept, ArraySource)
    assert before != again.fingerprint()
    assert kept.contents() == again.contents() == first.contents()
    assert View(kept, np.array([1, 0])).contents() == View(first, np.array([1, 0])).contents()


def test_contents_of_a_folder_tell_a_moved_and_a_larger_file(tmp_path: Path) -> None:
    write("folder", tmp_path / "data", [1, 2, 3, 4])
    found = {train(str(tmp_path / "data")).contents()}
    (tmp_path / "data" / "a" / "0.png").rename(tmp_path / "data" / "b" / "0.png")
    found.add(train(str(tmp_path / "data")).contents())
    with (tmp_path / "data" / "b" / "0.png").open("ab") as file:
        file.write(b"\0")
    found.add(train(str(tmp_path / "data")).contents())
    assert len(found) == 3


def test_contents_of_what_has_no_files_are_its_labels_and_pixels() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3)

    def of(labels: list[int], pixels: np.ndarray) -> str:
        return ArraySource("any", ("a", "b"), np.array(labels), pixels).contents()

    assert of([0, 1], images) == of([0, 1], images.copy())
    assert len({of([0, 1], images), of([1, 0], images), of([0, 1], images + 1)}) == 3


def test_fingerprints_are_those_that_caches_have() -> None:
    whole = ArraySource("any", ("a",), np.zeros(3, np.int64), np.arange(9, dtype=np.uint8).reshape(3, 1, 1, 3))
    view = View(whole, np.array([2, 0]), "part")
    prints = [source.fingerprint()[:16] for source in (whole, view, Shrunk(view, 1))]
    assert prints == PINNED
    assert [source.contents()[:16] for source in (whole, view)] == CONTENTS


PINNED = ["b6a79979150e79c0", "0951cbc4cb641dc8", "a480f20120b685ca"]
CONTENTS = ["034e2bf17eea150b", "a9e57f28d02df495"]
