"""A folder of class folders, with or without train/ and val|validation|test/ in it; or one of images in any order."""

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
from vitascope.data.passed_over import grouped, say, sentence
from vitascope.data.source import EncodedSource, Splits
from vitascope.data.sources.layout import find_layout, find_parts
from vitascope.data.walk import Folder, is_image, is_litter
from vitascope.errors import DataError, UnlabelledError
from vitascope.wording import printable, some

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FolderSource(EncodedSource):
    """Images in class folders, whose names are sorted by code point after Unicode composition (NFC)."""

    root: str
    """The folder that holds the class folders."""
    paths: tuple[str, ...] = field(repr=False)
    """(n,) below `root`, sorted within their class."""
    ignored: tuple[str, ...] = field(default=(), repr=False)
    lost: Mapping[str, str] = field(default_factory=dict, repr=False)

    def encoded(self, index: int) -> str:
        return self.describe(index)

    def describe(self, index: int) -> str:
        return os.path.join(self.root, self.paths[index])

    def path(self, index: int) -> str:
        return self.paths[index].replace(os.sep, "/")

    def identity(self) -> Iterable[bytes]:
        yield joined([stamp(self.describe(index)) for index in range(len(self))]).encode()

    def parts(self) -> list[str]:
        return [named_size(self.describe(index), path) for index, path in enumerate(self.paths)]


def open_folder(path: str | Path) -> Splits:
    """Class folders → their splits; a folder without train/, val/, test/ is all `train`.

    See `vitascope.data.sources.layout` for what is taken for a split. Raises DataError where there are no class
    folders or no images, where folders look like splits and are not called so, or where the splits' classes differ.
    """
    root = Folder(str(Path(path)))
    layout = find_layout(root)
    name, ignored = Path(path).resolve().name, layout.passed_over + layout.beside
    sources: dict[str, FolderSource] = {}
    for split, folder in layout.splits.items():
        sources[split] = _scan(folder, name if layout.unsplit else f"{name} {split}", ignored)
        ignored = []
    said = set(layout.beside)
    groups = grouped(file for source in sources.values() for file in source.ignored if file not in said)
    say(groups, f"{printable(str(path))}: ")
    return Splits(**sources)


def open_images(path: str | Path) -> Splits:
    """All images of a folder, at any depth, without labels → their splits (`layout.find_parts`), else `train`.

    Raises DataError where there are none.
    """
    root, name = Folder(str(Path(path))), Path(path).resolve().name
    parts = find_parts(root)
    sources: dict[str, FolderSource] = {}
    for split, folders in parts.items():
        files = [file for folder in folders for file in folder.files]
        paths = sorted(file.removeprefix(os.path.join(root.path, "")) for file in files if is_image(file))
        sources[split] = FolderSource(
            name=name if list(parts) == ["train"] else f"{name} {split}",
            root=root.path,
            classes=(),
            labels=np.zeros(len(paths), dtype=np.int64),
            paths=tuple(paths),
            ignored=(*(file for folder in folders for file in folder.litter), *(f for f in files if not is_image(f))),
        )
    groups = grouped(file for source in sources.values() for file in source.ignored)
    if not any(map(len, sources.values())):
        said = sentence(groups) if groups else "check the path"
        raise DataError(f"{printable(root.path)}: no images, expected {FORMATS}; {said}")
    say(groups, f"{printable(str(path))}: ")
    return Splits(**{split: source for split, source in sources.items() if len(source)})


def _scan(root: Folder, name: str, ignored: list[str]) -> FolderSource:
    ignored = ignored + root.litter + root.files
    if not root.folders:
        loose = sum(map(is_image, root.files))
        what = f"{loose} images but no class folders" if loose else "no class folders and no images"
        raise (UnlabelledError if loose else DataError)(
            f"{printable(root.path)}: {what}, expected CLASS/IMAGE; "
            "put the images of each class in a folder named after it"
        )
    members: dict[str, list[str]] = {}
    passed_over: dict[str, list[str]] = {}
    for folder in root.folders:
        inside = list(folder.walk())
        litter = [path for each in inside for path in each.litter]
        files = [path for each in inside for path in each.files]
        ignored += litter
        if not files and any(not is_litter(os.path.basename(path)) for path in litter):
            continue  # runs and checkpoints that lie in it, nothing else
        class_name = _class_name(folder)
        others = [path for path in files if not is_image(path)]
        below = (path.removeprefix(os.path.join(root.path, "")) for path in files if is_image(path))
        members.setdefault(class_name, []).extend(below)
        passed_over.setdefault(class_name, []).extend(others)
        ignored += others
    classes = tuple(sorted(members))
    if not any(members.values()):
        said = sentence(groups) if (groups := grouped(ignored)) else "check the path"
        raise DataError(f"{printable(root.path)}: no images in its {len(classes)} folders, expected {FORMATS}; {said}")
    empty = [class_name for class_name in classes if not members[class_name]]
    if empty:
        log.warning("%s: class folders without images: %s", printable(root.path), some(empty))
    lost = {name: [group for group in grouped(passed_over[name]) if group.remedy] for name in empty}
    return FolderSource(
        name=name,
        root=root.path,
        classes=classes,
        labels=np.repeat(np.arange(len(classes), dtype=np.int64), [len(members[name]) for name in classes]),
        paths=tuple(path for name in classes for path in sorted(members[name])),
        ignored=tuple(ignored),
        lost={name: sentence(groups) for name, groups in lost.items() if groups},
    )


def _class_name(folder: Folder) -> str:
    """One class may be spelt in two ways: composed on Linux, decomposed by macOS. Raises DataError for no text."""
    try:
        folder.name.encode()
    except UnicodeEncodeError:  # bytes of another encoding, which no file of labels can hold
        raise DataError(f"{printable(folder.path)}: a class name that is not UTF-8; rename the folder") from None
    return unicodedata.normalize("NFC", folder.name)
