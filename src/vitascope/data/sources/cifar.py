"""`cifar10` and `cifar100` (Krizhevsky, 2009) from their official binary archives, kept in a cache folder.

Layout, checksums: https://www.cs.toronto.edu/~kriz/cifar.html. A record is one label byte (CIFAR-10) or a coarse and a
fine label byte (CIFAR-100), then 3,072 bytes of 32×32 pixels: all red, all green, all blue, row by row.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from vitascope.cache import cache_folder
from vitascope.data.images import UInt8
from vitascope.data.memory import ArraySource
from vitascope.data.source import Int64, Splits
from vitascope.data.sources.classes import number_labels
from vitascope.errors import DataError
from vitascope.whole import written_whole
from vitascope.wording import printable, reason

log = logging.getLogger(__name__)

_PIXELS = 3 * 32 * 32
_TIMEOUT = 30  # seconds without any answer


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One official archive and what lies in it."""

    url: str
    """Where it is published."""
    size: int
    """Bytes of the archive."""
    md5: str
    """Of the archive, from the official page."""
    folder: str
    """The folder inside the archive."""
    train: tuple[str, ...]
    """Files of the training split, in order."""
    test: tuple[str, ...]
    """Files of the test split."""
    names: str
    """The file of class names, one a line."""
    label_bytes: int
    """Before the pixels of a record; the last one is the label."""
    classes: int
    """How many class names there are."""


ARCHIVES: Mapping[str, Archive] = {
    "cifar10": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        size=170_052_171,
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test=("test_batch.bin",),
        names="batches.meta.txt",
        label_bytes=1,
        classes=10,
    ),
    "cifar100": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        size=168_513_733,
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        names="fine_label_names.txt",
        label_bytes=2,
        classes=100,
    ),
}


def open_cifar(name: str) -> Splits:
    """`name` "cifar10" or "cifar100" → train (50,000) and test (10,000), uint8 (32, 32, 3), held in memory.

    The archive is downloaded once. Raises DataError where it cannot be had, saying where to put it by hand, or
    where it is not the official one.
    """
    archive = ARCHIVES[name]
    path = cache_folder() / archive.url.rpartition("/")[2]
    if not path.exists():
        _download(archive, path)
    _verify(archive, path)
    try:
        with tarfile.open(path, "r:gz") as tar:
            text = _member(tar, f"{archive.folder}/{archive.names}").decode("ascii")
            classes = tuple(line.strip() for line in text.splitlines() if line.strip())
            if len(classes) != archive.classes:
                raise DataError(f"{path}: {len(classes)} class names, expected {archive.classes}; delete it")
            train = _records(tar, archive, archive.train)
            test = _records(tar, archive, archive.test)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); delete it to fetch it again") from None
    classes, labels = number_labels({"train": train[1], "test": test[1]}, classes, str(path), "delete it")
    return Splits(
        train=ArraySource(f"{name} train", classes, labels["train"], train[0]),
        test=ArraySource(f"{name} test", classes, labels["test"], test[0]),
    )


def _records(tar: tarfile.TarFile, archive: Archive, files: tuple[str, ...]) -> tuple[UInt8, Int64]:
    """Files of records → uint8 (n, 32, 32, 3), int64 (n,)."""
    width = archive.label_bytes + _PIXELS
    data = b"".join(_member(tar, f"{archive.folder}/{file}") for file in files)
    rows = np.frombuffer(data, dtype=np.uint8)
    if len(rows) == 0 or len(rows) % width:
        raise DataError(f"{files[0]}: {len(rows)} bytes, expected records of {width}; delete the archive")
    rows = rows.reshape(-1, width)
    labels = rows[:, archive.label_bytes - 1].astype(np.int64)
    planes = rows[:, archive.label_bytes :].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    """The bytes of one file of the archive; nothing is unpacked to disk."""
    try:
        info = tar.getmember(name)
    except KeyError:
        raise DataError(f"{name}: not in the archive, expected it there; delete the archive") from None
    file = tar.extractfile(info) if info.isreg() else None
    if file is None or info.size > 50_000 * (2 + _PIXELS):
        raise DataError(f"{name}: not a plain file of a likely size; delete the archive")
    return file.read()


def _verify(archive: Archive, path: Path) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{printable(str(path))}: cannot be read ({reason(error)}); check it") from None
    if found != archive.md5:
        raise DataError(
            f"{printable(str(path))}: MD5 {found}, expected {archive.md5}; "
            f"delete it to fetch it again from {archive.url}"
        )


def _download(archive: Archive, path: Path) -> None:
    log.info("fetching %s (%d MiB) to %s", archive.url, archive.size >> 20, path.parent)
    try:
        with written_whole(path) as temporary:
            with temporary.open("wb") as file, urllib.request.urlopen(archive.url, timeout=_TIMEOUT) as answer:
                _copy(answer, file, archive.size)
            _verify(archive, temporary)
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DataError(
            f"cannot fetch {archive.url} ({printable(str(reason))}); put the file at {printable(str(path))} by hand, "
            "or set VITASCOPE_CACHE to a folder that holds it or can be written"
        ) from None


def _copy(answer: IO[bytes], file: IO[bytes], size: int) -> None:
    done = 0
    tenth = 0
    while block := answer.read(1 << 20):
        done += len(block)
        if done > size:
            raise OSError(f"more than the {size} bytes expected")
        file.write(block)
        if done * 10 // size > tenth:
            tenth = done * 10 // size
            log.info("%d %% of %d MiB", tenth * 10, size >> 20)
    if done < size:
        raise OSError(f"broken off after {done} of {size} bytes")
