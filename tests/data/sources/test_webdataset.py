"""Tar shards with keys."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pictures import png
from vitascope.data.sources.webdataset import open_webdataset
from vitascope.errors import DataError, ImageError


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
    refused("labels from 0 to 1, expected 0 to 0 for its 1 classes; mend them or classes.txt", tmp_path)
    (tmp_path / "classes.txt").write_text("ant\nant\n")
    refused("two classes are called ant", tmp_path)


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
    refused("more than 100000 files", tmp_path / "s-{0..999999999}.tar")
    refused("more than 100000 files", tmp_path / "{0..9999}-{0..9999}-{0..9999}.tar")


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


def test_what_is_passed_over_is_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {**pairs(0, [0, 1]), "0002.jxl": b"", "0002.cls": b"2", "._0000.png": b"", "a.txt": b"", "b.txt": b""}
    path = write(tmp_path / "a.tar", files)
    with tarfile.open(path, "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):  # never followed
            link = tarfile.TarInfo(f"000{kind.decode()}.png")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    train = open_webdataset(str(path)).train
    assert train is not None
    assert len(train) == 2
    assert train.classes == ("0", "1")
    first, second = caplog.messages
    assert first == (f"{path}: 6 members passed over, no images and no labels: .txt 2, links 2, .jxl 1, hidden 1")
    assert second == f"{path}: no image is left of label 2"


def test_keys_with_dots(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # A key ends at the first dot, as webdataset has it; beside the image of a key other parts of the sample may lie.
    masks = {"a.jpg": png(1), "a.mask.png": png(2), "a.cls": b"0", "b.mask.png": png(3), "b.cls": b"1", "b.jpg": png(4)}
    train = open_webdataset(str(write(tmp_path / "masks.tar", masks))).train
    assert train is not None
    assert [int(train[i][0, 0, 0]) for i in range(len(train))] == [1, 4]
    assert "2 members passed over, no images and no labels: .mask.png 2" in caplog.text
    # Where each has a label of its own name nothing is lost, and where not it is refused.
    own = {"a.b.jpg": png(1), "a.b.cls": b"0", "a.c.jpg": png(2), "a.c.json": b'{"label": 1}'}
    train = open_webdataset(str(write(tmp_path / "own.tar", own))).train
    assert train is not None
    assert train.labels.tolist() == [0, 1]
    shared = {"a.b.jpg": png(1), "a.c.jpg": png(2), "a.cls": b"0"}
    refused(r"a\.c\.jpg: a second image of its key, beside a\.b\.jpg; rename", write(tmp_path / "c.tar", shared))


def test_labels_with_gaps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = open_webdataset(str(write(tmp_path / "a.tar", pairs(0, [900, 5, 10**9]))))
    assert splits.classes == ("5", "900", "1000000000")
    assert splits.train is not None
    assert splits.train.labels.tolist() == [1, 0, 2]
    assert "each is a class called by its number" in caplog.text
