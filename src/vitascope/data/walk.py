"""What lies in a folder of photographs, without what systems leave behind: one rule for training, check and predict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vitascope.data.formats import EXTENSIONS, UNREAD
from vitascope.errors import DataError
from vitascope.wording import printable, reason

# Lower case; hidden names are recognised by their dot.
_LITTER = (
    {"__macosx", "icon\r"}  # macOS
    | {"thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information", "found.000"}
    | {"@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot"}  # NAS
    | {"lost+found", "lost.dir", "__pycache__"}
)
# What is written here itself: a run's folder, a checkpoint, a report of the internals.
_OURS = (
    {"config.yaml", "checkpoints"},
    {"config.yaml", "model"},
    {"config.yaml", "metrics.jsonl"},
    {"config.json", "model.safetensors"},
    {"inspect.html"},
)


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is left behind by a system rather than put there by a person."""
    return name.startswith(".") or name.lower() in _LITTER


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image that can be read."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def is_image_of_any_kind(name: str) -> bool:
    """Whether a file of this name is an image, readable here or not."""
    return is_image(name) or os.path.splitext(name)[1].lower() in UNREAD


@dataclass(frozen=True)
class Listing:
    """One folder's entries, each part sorted."""

    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    litter: list[Path] = field(default_factory=list)
    """Files and folders by `is_litter`; the folder itself if it is a run or a checkpoint, which has nothing else."""


def listing(folder: Path) -> Listing:
    """What a folder holds; raises DataError if it cannot be listed."""
    found = Listing()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if is_litter(entry.name):
                    found.litter.append(path)
                elif not _is_folder(entry):
                    found.files.append(path)
                elif entry.is_symlink() and path.resolve() in (folder / "x").resolve().parents:
                    found.files.append(path)  # a link to a folder that it lies in: an endless path, no images there
                else:
                    found.folders.append(path)
    except OSError as error:
        raise DataError(
            f"{printable(str(folder))}: cannot be listed ({reason(error)}); check its path and permissions"
        ) from None
    names = {path.name for path in found.folders + found.files}
    if any(marks <= names for marks in _OURS):
        return Listing(litter=[folder])
    for part in (found.folders, found.files, found.litter):
        part.sort()
    return found


def walk(folder: Path, litter: list[Path], above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Every file at any depth but litter, which is added to `litter`; raises DataError for an unreadable folder.

    Links are followed, except back to a folder that is being walked.
    """
    try:
        status = folder.stat()
    except OSError as error:
        raise DataError(f"{printable(str(folder))}: cannot be opened ({reason(error)}); check it") from None
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    found = listing(folder)
    litter += found.litter
    yield from found.files
    for inner in found.folders:
        yield from walk(inner, litter, above | {identity})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that go round in a circle: kept as a file, so that reading it names it
        return False
