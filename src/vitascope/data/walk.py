"""What lies in a folder of photographs, without what systems leave behind: one rule for training, check and predict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class Folder:
    """A folder, listed once and when it is asked; raises DataError if it cannot be."""

    path: str
    above: tuple[str, ...] = ()
    """Paths of the folders that led here."""

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def folders(self) -> list[Folder]:
        """Those in it, by name. Links are followed, except to a folder that holds them or led here: as to a file."""
        return self._listed[0]

    @property
    def files(self) -> list[str]:
        """Paths, by name."""
        return self._listed[1]

    @property
    def litter(self) -> list[str]:
        """By `is_litter`, folders too; the folder itself if it is a run or a checkpoint, which has nothing else."""
        return self._listed[2]

    @property
    def has_images(self) -> bool:
        """Whether a file in it is an image, readable here or not."""
        return any(is_image(file) or os.path.splitext(file)[1].lower() in UNREAD for file in self.files)

    @property
    def holds_images(self) -> bool:
        """Whether there is one at any depth."""
        return any(folder.has_images for folder in self.walk())

    def walk(self) -> Iterator[Folder]:
        """The folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    @cached_property
    def _listed(self) -> tuple[list[Folder], list[str], list[str]]:
        folders: list[str] = []
        files: list[str] = []
        litter: list[str] = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    kind = litter if is_litter(entry.name) else folders if self._leads_on(entry) else files
                    kind.append(os.path.join(self.path, entry.name))
        except OSError as error:
            raise DataError(
                f"{printable(self.path)}: cannot be listed ({reason(error)}); check its path and permissions"
            ) from None
        names = {os.path.basename(path) for path in folders + files}
        if any(marks <= names for marks in _OURS):
            return [], [], [self.path]
        inner = [Folder(path, (*self.above, self.path)) for path in sorted(folders)]
        return inner, sorted(files), sorted(litter)

    def _leads_on(self, entry: os.DirEntry[str]) -> bool:
        try:
            if not entry.is_dir():
                return False
        except OSError:  # links that go round in a circle: kept as a file, so that reading it names it
            return False
        if not entry.is_symlink():
            return True
        real = os.path.realpath(os.path.join(self.path, entry.name))
        return not any(Path(place).resolve().is_relative_to(real) for place in (*self.above, self.path))
