"""`cifar10` and `cifar100` (Krizhevsky, 2009) from their official binary archives, kept in a cache folder.

Layout, checksums: https://www.cs.toronto.edu/~kriz/cifar.html. A record is one label byte (CIFAR-10) or a coarse and a
fine label byte (CIFAR-100), then 3,072 bytes of 32×32 pixels: all red, all green, all blue, row by row.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitascope.cache import cache_folder
from vitascope.data.kept import ArraySource
from vitascope.data.source import Splits
from vitascope.download import download
from vitascope.errors import DataError
from vitascope.wording import printable, reason

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One official archive and what lies in it."""

    url: str
    """Where it is published."""
    size: int
    """Bytes of the archive."""
    md5: str
    """Of the archive, from the official page; so what lies in an archive of it needs no check."""
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
        with tarfile.open(path, "r:gz") as tar:  # read member by member; nothing is unpacked to disk
            names = _joined(tar, archive, (archive.names,)).decode("ascii").split("\n")
            classes = tuple(line.strip() for line in names if line.strip())
            parts = {"train": _joined(tar, archive, archive.train), "test": _joined(tar, archive, archive.test)}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); delete it to fetch it again") from None
    sources = {}
    for split, data in parts.items():
        rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, archive.label_bytes + _PIXELS)
        labels = rows[:, archive.label_bytes - 1].astype(np.int64)
        planes = rows[:, archive.label_bytes :].reshape(-1, 3, 32, 32)
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        sources[split] = ArraySource(f"{name} {split}", classes, labels, images)
    return Splits(**sources)


def _joined(tar: tarfile.TarFile, archive: Archive, files: tuple[str, ...]) -> bytes:
    found = [tar.extractfile(f"{archive.folder}/{file}") for file in files]
    return b"".join(file.read() for file in found if file is not None)


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
    try:
        download(archive.url, path, size=archive.size, md5=archive.md5)
    except OSError as error:
        raise DataError(
            f"cannot fetch {archive.url} ({reason(error)}); put the file at {printable(str(path))} by hand, "
            "or set VITASCOPE_CACHE to a folder that holds it or can be written"
        ) from None
