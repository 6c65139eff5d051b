"""Tar shards with keys."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitascope.data.sources.webdataset import open_webdataset
from vitascope.errors import DataError, ImageError


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2), (value, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def pairs(start: int, labels: list[object]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for i, label in enumerate(labels, start):
        files[f"{i:04d}.cls"] = str(label).encode()
        files[f"{i:04d}.png"] = png(i)
    return files


def refused(match: str, spec: object) -> None:
    with pytest.raises(DataError, match=match) as caught:
        open_webdataset(str(spec))
    assert "\n" not in str(caught.value)


def test_shards_are_indexed_in_order(tmp_path: Path) -> None:
    write(tmp_path / "set-train-001.tar", pairs(3, [1, 0]))
    write(tmp_path / "set-train-000.tar", pairs(0, [0, 1, 2]))
    write(tmp_path / "set-val-000.tar", pairs(9, [2]))
    splits = open_webdataset(str(tmp_path))
    assert list(splits.present()) == ["train", "validation"]
    train = splits.train
    assert train is not None
    assert train.classes == ("0", "1", "2")
    assert train.labels.tolist() == [0, 1, 2, 1, 0]
    assert [int(train[i][0, 0, 0]) for i in range(5)] == [0, 1, 2, 3, 4]
    assert train.describe(3) == f"{tmp_path / 'set-train-001.tar'}:0003.png"
    assert np.array_equal(pickle.loads(pickle.dumps(train))[4], train[4])
    with pytest.raises(IndexError):
        train[5]


@pytest.mark.parametrize(
    "pattern", ["s-{000..001}.tar", "s-{000,001}.tar", "s-*.tar", "s-00[01].tar", "{s}-00{0..1}.tar"]
)
def test_patterns(tmp_path: Path, pattern: str) -> None:
    for i in range(3):
        write(tmp_path / f"s-{i:03d}.tar", pairs(i, [i]))
    train = open_webdataset(str(tmp_path / pattern)).train
    assert train is not None
    assert train.labels.tolist() == ([0, 1, 2] if pattern == "s-*.tar" else [0, 1])
    assert train.name == ("shards train" if pattern.startswith("{") else "s train")


def test_names_are_sorted_and_json_is_read(tmp_path: Path) -> None:
    files = {
        "a/x.jpg.ignored": b"",
        "a/1.png": png(1),
        "a/1.json": json.dumps({"label": "dog"}).encode(),
        "b/1.png": png(2),
        "b/1.json": json.dumps({"cls": "cat", "more": [1]}).encode(),
        "c/1.json": json.dumps({"width": 3}).encode(),
        "c/1.cls": b"cat\n",
        "c/1.PNG": png(3),
        "README": b"",
    }
    train = open_webdataset(str(write(tmp_path / "a.tar", files))).train
    assert train is not None
    assert train.classes == ("cat", "dog")
    assert train.labels.tolist() == [1, 0, 0]


def test_class_names_beside_the_shards(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", pairs(0, [0, 1]))
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    assert open_webdataset(str(tmp_path)).classes == ("ant", "bee")
    (tmp_path / "classes.txt").write_text("ant\n")
    refused("label 1 is not among 1 classes", tmp_path)
    (tmp_path / "classes.txt").write_text("ant\nant\n")
    refused("a name twice", tmp_path)


def test_what_is_refused(tmp_path: Path) -> None:
    refused(r"0001\.png: no label", write(tmp_path / "a.tar", {"0001.png": png(0)}))
    refused("no images in the train shards", write(tmp_path / "b.tar", {"0001.cls": b"0"}))
    refused("partly names", write(tmp_path / "c.tar", pairs(0, [0, "cat"])))
    refused("a second image of its key", write(tmp_path / "d.tar", {"1.png": png(0), "1.jpg": png(0), "1.cls": b"0"}))
    refused("uncompressed tar", write(tmp_path / "e.tar.gz", pairs(0, [0]), "w:gz"))
    (tmp_path / "f.tar").write_bytes(b"hello")
    refused("uncompressed tar", tmp_path / "f.tar")
    refused("no such tar file", tmp_path / "absent.tar")
    refused("no such tar file", tmp_path / "s-*.tar")
    refused("expected {FIRST..LAST}", tmp_path / "s-{5..1}.tar")
    refused("expected {FIRST..LAST}", tmp_path / "s-{0..999999999}.tar")


def test_a_shard_cut_after_indexing_names_the_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", pairs(0, [0, 1]))
    train = open_webdataset(str(path)).train
    assert train is not None
    path.write_bytes(path.read_bytes()[:1600])
    with pytest.raises(ImageError, match=r"a\.tar:0001\.png"):
        train[1]
    path.unlink()
    with pytest.raises(ImageError, match=r"a\.tar:0000\.png: No such file"):
        train[0]


def test_links_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", pairs(0, [0]))
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("0001.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    train = open_webdataset(str(path)).train
    assert train is not None
    assert len(train) == 1
