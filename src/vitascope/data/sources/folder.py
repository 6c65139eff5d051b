"""A folder of class folders, with or without train/ and val|validation|test/ in it."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vitascope.data.fingerprint import joined, named_size, stamp
from vitascope.data.formats import FORMATS
from vitascope.data.passed_over import grouped, lost_images, say, sentence
from vitascope.data.source import EncodedSource, Int64, Splits
from vitascope.data.sources.layout import find_layout
from vitascope.data.walk import is_image, is_litter, listing, walk
from vitascope.errors import DataError
from vitascope.wording import printable, some

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FolderSource(EncodedSource):
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
    """Paths of what was passed over: litter, other endings, formats that are not read, outside the class folders."""
    lost: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Classes all of whose images were passed over → what is said of them."""

    def encoded(self, index: int) -> str:
        return self.describe(index)

    def describe(self, index: int) -> str:
        return os.path.join(self.root, self.paths[index])

    def identity(self) -> Iterable[bytes]:
        yield joined([stamp(self.describe(index)) for index in range(len(self))]).encode()

    def parts(self) -> list[str]:
        return [named_size(self.describe(index), path) for index, path in enumerate(self.paths)]


def open_folder(path: str | Path) -> Splits:
    """Class folders → their splits; a folder without train/, val/, test/ is all `train`.

    See `vitascope.data.sources.layout` for what is taken for a split. Raises DataError where there are no class
    folders or no images, where folders look like splits and are not called so, or where the splits' classes differ.
    """
    layout = find_layout(Path(path))
    ignored = [str(file) for file in layout.passed_over + layout.beside]
    sources: dict[str, FolderSource] = {}
    for split, folder in layout.splits.items():
        name = layout.root.resolve().name
        sources[split] = _scan(folder, name if layout.whole else f"{name} {split}", ignored)
        ignored = []
    said = set(map(str, layout.beside))
    groups = grouped(file for source in sources.values() for file in source.ignored if file not in said)
    say(groups, f"{printable(str(path))}: ")
    return Splits(**sources)


def _scan(root: Path, name: str, ignored: list[str]) -> FolderSource:
    found = listing(root)
    ignored = ignored + [str(file) for file in found.litter + found.files]
    if not found.folders:
        loose = sum(is_image(file.name) for file in found.files)
        what = f"{loose} images but no class folders" if loose else "no class folders and no images"
        raise DataError(
            f"{printable(str(root))}: {what}, expected CLASS/IMAGE; "
            "put the images of each class in a folder named after it"
        )
    members: dict[str, list[str]] = {}
    passed_over: dict[str, list[str]] = {}
    for folder in found.folders:
        litter: list[Path] = []
        files = list(walk(folder, litter))
        ours = any(not is_litter(place.name) for place in litter)
        ignored += map(str, litter)
        if ours and not files:
            continue  # runs and checkpoints that lie in it, nothing else
        class_name = _class_name(folder)
        images = [file for file in files if is_image(file.name)]
        others = [str(file) for file in files if not is_image(file.name)]
        members.setdefault(class_name, []).extend(os.path.relpath(file, root) for file in images)
        passed_over.setdefault(class_name, []).extend(others)
        ignored += others
    classes = tuple(sorted(members))
    paths = [path for name_ in classes for path in sorted(members[name_])]
    if not paths:
        groups = grouped(ignored)
        raise DataError(
            f"{printable(str(root))}: no images in its {len(classes)} folders, expected {FORMATS}"
            + (f"; {sentence(groups)}" if groups else "; check the path")
        )
    empty = [name_ for name_ in classes if not members[name_]]
    if empty:
        log.warning("%s: class folders without images: %s", printable(str(root)), some(empty))
    return FolderSource(
        name=name,
        root=str(root),
        classes=classes,
        labels=np.repeat(np.arange(len(classes), dtype=np.int64), [len(members[name_]) for name_ in classes]),
        paths=tuple(paths),
        ignored=tuple(ignored),
        lost={name_: sentence(lost) for name_ in empty if (lost := lost_images(passed_over[name_]))},
    )


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
