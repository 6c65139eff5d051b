"""A folder of class folders, with or without train/ and val|validation|test/ in it."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vitascope.data.fingerprint import joined, stamp
from vitascope.data.formats import EXTENSIONS
from vitascope.data.images import UInt8, printable, read_image
from vitascope.data.jpeg import OpenJpeg, open_image
from vitascope.data.source import Int64, Source, Splits, some
from vitascope.errors import DataError

log = logging.getLogger(__name__)

_SPLIT_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
# Left behind by file managers; hidden files (".DS_Store") are recognised by their dot.
_LITTER = frozenset(["thumbs.db", "desktop.ini"])


@dataclass(frozen=True, eq=False)
class FolderSource:
    """Images in class folders; nothing is opened until asked for."""

    name: str
    """For people."""
    root: str
    """The folder that holds the class folders."""
    classes: tuple[str, ...]
    """Names of the class folders, sorted by code point after Unicode composition (NFC)."""
    labels: Int64
    """(n,) int64."""
    paths: tuple[str, ...] = field(repr=False)
    """(n,) below `root`, sorted within their class."""
    ignored: tuple[str, ...] = field(default=(), repr=False)
    """Files that are no images: hidden, litter of file managers, other endings, or outside the class folders."""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> UInt8:
        return read_image(self.describe(index))

    def open(self, index: int) -> UInt8 | OpenJpeg:
        """See `vitascope.data.source.open_many`."""
        return open_image(self.describe(index))

    def describe(self, index: int) -> str:
        return os.path.join(self.root, self.paths[index])

    def identity(self) -> str:
        """See `vitascope.data.fingerprint`."""
        return joined([stamp(self.describe(index)) for index in range(len(self))])


def open_folder(path: str | Path) -> Splits:
    """Class folders → their splits; a folder without train/, val/, test/ is all `train`.

    A sub-folder named train, val, valid, validation or test is a split if it holds folders and no images itself,
    so that a class may be called "train". Raises DataError where there are no class folders or no images, or
    where the splits' classes differ.
    """
    root = Path(path)
    folders, files = _listing(root)
    parts: dict[str, Path] = {}
    flat: list[str] = []
    for folder in folders:
        split = _SPLIT_FOLDERS.get(folder.name.lower())
        if split is None:
            continue
        inner, loose = _listing(folder)
        if not inner or any(_is_image(name.name) for name in loose):
            flat.append(folder.name)
        elif split in parts:
            raise DataError(
                f"{printable(str(root))}: both {parts[split].name}/ and {folder.name}/, expected one {split} split; "
                "remove or rename one"
            )
        else:
            parts[split] = folder
    if not parts:
        if flat and len(flat) == len(folders):
            raise DataError(
                f"{printable(str(root))}: {some(flat)} hold no class folders, expected {flat[0]}/CLASS/IMAGE; "
                "move the images of each class into a folder named after it"
            )
        return Splits(train=_scan(root, root.resolve().name))
    for folder in folders:
        if folder not in parts.values():
            log.warning("%s: ignored beside the splits", printable(str(folder)))
    outside = [str(file) for file in files]
    sources: dict[str, Source] = {}
    for split, folder in parts.items():
        sources[split] = _scan(folder, f"{root.resolve().name} {split}", outside)
        outside = []
    return Splits(train=sources.get("train"), validation=sources.get("validation"), test=sources.get("test"))


def _scan(root: Path, name: str, ignored: list[str] | None = None) -> FolderSource:
    folders, files = _listing(root)
    ignored = [*(ignored or []), *(str(file) for file in files)]
    loose = [file for file in files if _is_image(file.name)]
    if not folders:
        what = f"{len(loose)} images but no class folders" if loose else "no class folders and no images"
        raise DataError(
            f"{printable(str(root))}: {what}, expected CLASS/IMAGE; "
            "put the images of each class in a folder named after it"
        )
    members: dict[str, list[str]] = {}
    for folder in folders:
        found = members.setdefault(_class_name(folder), [])
        for file in _walk(folder, frozenset()):
            (found if _is_image(file.name) else ignored).append(os.path.relpath(file, root))
    classes = tuple(sorted(members))
    paths = [path for name_ in classes for path in sorted(members[name_])]
    if not paths:
        raise DataError(
            f"{printable(str(root))}: no images in its {len(classes)} folders, expected files ending in "
            f"{' '.join(sorted(EXTENSIONS))}; check the path"
        )
    empty = [name_ for name_ in classes if not members[name_]]
    if empty:
        log.warning("%s: class folders without images: %s", printable(str(root)), some(empty))
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(members[name_]) for name_ in classes])
    return FolderSource(name, str(root), classes, labels, tuple(paths), tuple(ignored))


def _class_name(folder: Path) -> str:
    """One class may be spelt in two ways: composed on Linux, decomposed by macOS. Raises DataError for no text."""
    if not _is_text(folder.name):
        raise DataError(f"{printable(str(folder))}: a class name that is not UTF-8; rename the folder")
    return unicodedata.normalize("NFC", folder.name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of another encoding, which no file of labels can hold
        return False
    return True


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """(sub-folders, files) of a folder, sorted; hidden folders are passed over."""
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if not _is_folder(entry):
                    files.append(path)
                elif entry.is_symlink() and path.resolve() in (folder / "x").resolve().parents:
                    files.append(path)  # a link to a folder that it lies in: an endless path, and no images of its own
                elif not entry.name.startswith("."):
                    folders.append(path)
    except OSError as error:
        raise DataError(
            f"{printable(str(folder))}: cannot be listed ({error.strerror}); check its path and permissions"
        ) from None
    return sorted(folders), sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that go round in a circle: kept as a file, so that reading it names it
        return False


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Every file at any depth. Links are followed, except back to a folder that is being walked."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    folders, files = _listing(folder)
    yield from files
    for inner in folders:
        yield from _walk(inner, above | {identity})
