"""CIFAR archives: a small imitation of the official ones, and everything that may be wrong with a download."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from depot import Depot
from vitascope import download as downloading
from vitascope.cache import cache_folder
from vitascope.data.kept import ArraySource
from vitascope.data.sources import cifar
from vitascope.errors import DataError


def records(name: str, labels: list[int]) -> bytes:
    """Image i: red plane 10 i, green plane counts columns, blue plane counts rows."""
    rows = []
    for i, label in enumerate(labels):
        head = [label] if name == "cifar10" else [19, label]
        columns, lines = np.tile(np.arange(32), 32), np.repeat(np.arange(32), 32)
        rows.append(bytes(head) + bytes([10 * i] * 1024) + bytes(columns.tolist()) + bytes(lines.tolist()))
    return b"".join(rows)


def archive(name: str) -> bytes:
    layout = cifar.ARCHIVES[name]
    files = {file: records(name, [i, 9]) for i, file in enumerate(layout.train)}
    files |= {file: records(name, [8]) for file in layout.test}
    files[layout.names] = "".join(f"name{i}\n" for i in range(10)).encode() + b"\n"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        escape = tarfile.TarInfo("../../escape.txt")
        escape.size = 1
        tar.addfile(escape, io.BytesIO(b"x"))
        for file, content in files.items():
            info = tarfile.TarInfo(f"{layout.folder}/{file}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def official(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Path]:
    """Declare some bytes to be the official archive; → where it belongs. Nobody has it to fetch yet."""
    depot.status = 503
    monkeypatch.setattr(downloading, "_PAUSE", 0.0)

    def declare(name: str, content: bytes) -> Path:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        entry = dataclasses.replace(
            cifar.ARCHIVES[name], url=f"{depot.url}/kriz/{name}.tar.gz", size=len(content), md5=md5
        )
        monkeypatch.setattr(cifar, "ARCHIVES", {**cifar.ARCHIVES, name: entry})
        return cache_folder() / f"{name}.tar.gz"

    return declare


def serve(depot: Depot, name: str, content: bytes) -> None:
    """What is fetched from now on."""
    depot.status, depot.objects = 0, {f"kriz/{name}.tar.gz": content}


@pytest.mark.parametrize(("name", "train"), [("cifar10", [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]), ("cifar100", [0, 9])])
def test_the_archive_is_fetched_once_and_read(
    name: str,
    train: list[int],
    official: Callable[[str, bytes], Path],
    depot: Depot,
    tmp_path: Path,
) -> None:
    content = archive(name)
    path = official(name, content)
    serve(depot, name, content)
    for _ in range(2):
        splits = cifar.open_cifar(name)
    assert depot.fetched() == [path.name]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert not list(tmp_path.rglob("escape.txt"))
    assert splits.train is not None
    assert splits.test is not None
    assert splits.train.labels.tolist() == train
    assert splits.test.labels.tolist() == [8]
    assert splits.classes[:2] == ("name0", "name1")
    assert len(splits.classes) == 10
    image = splits.train[1]
    assert image.shape == (32, 32, 3)
    assert image[5, 7].tolist() == [10, 7, 5]  # row 5, column 7
    assert splits.train.describe(1) == f"{name} train[1]"
    assert isinstance(splits.train, ArraySource)


def test_without_network_the_message_says_where_to_put_it(official: Callable[[str, bytes], Path]) -> None:
    path = official("cifar10", archive("cifar10"))
    with pytest.raises(DataError, match="cannot fetch http://127") as caught:
        cifar.open_cifar("cifar10")
    assert "Service Unavailable" in str(caught.value)
    assert f"put the file at {path} by hand" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(path.parent.iterdir()) == []
    content = archive("cifar10")
    official("cifar10", content).write_bytes(content)
    assert cifar.open_cifar("cifar10").train is not None


@pytest.mark.parametrize("fault", ["short", "long", "changed"])
def test_a_bad_download_leaves_nothing_behind(fault: str, official: Callable[[str, bytes], Path], depot: Depot) -> None:
    content = archive("cifar100")
    path = official("cifar100", content)
    answers = {"short": content[:-1], "long": content + b"x", "changed": content[:-1] + bytes([content[-1] ^ 1])}
    serve(depot, "cifar100", answers[fault])
    with pytest.raises(DataError, match="MD5" if fault == "changed" else "bytes, expected"):
        cifar.open_cifar("cifar100")
    assert list(path.parent.iterdir()) == []


def test_a_changed_file_in_the_cache_is_refused(official: Callable[[str, bytes], Path]) -> None:
    path = official("cifar10", archive("cifar10"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"expected .*; delete it"):
        cifar.open_cifar("cifar10")


def test_a_cache_that_cannot_be_written(
    official: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    official("cifar10", archive("cifar10"))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set VITASCOPE_CACHE"):
        cifar.open_cifar("cifar10")


def test_the_official_checksums() -> None:
    assert {name: entry.md5 for name, entry in cifar.ARCHIVES.items()} == {
        "cifar10": "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar100": "03b5dce01913d631647c71ecec9e9cb8",
    }
