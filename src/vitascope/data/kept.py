"""Decoded images kept, in memory or in a file, so that they are decoded once and not once an epoch.

Where they are kept never changes a pixel. A file of the cache folder holds all images of one source, one after the
other, then where each begins and its size; it is mapped, so that what is read costs no memory that the system cannot
take back. Its name is the hash of all that the pixels depend on: the source's fingerprint, this package's version and
the decoder's. So nothing is stale, unless a photograph changes but not its size and time of change. Any file may be
deleted at any time: its images are decoded again. A flipped bit in the pixels is not noticed.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from vitascope.cache import cache_folder
from vitascope.data.decode import Progress, decode_all, estimate_bytes
from vitascope.data.images import UInt8
from vitascope.data.picture import Picture
from vitascope.data.remarks import Remarks
from vitascope.data.source import Int64, Labels, Source, View
from vitascope.errors import DataError, ImageError
from vitascope.file_lock import take
from vitascope.version import __version__
from vitascope.whole import written_whole
from vitascope.wording import memory_text, printable

log = logging.getLogger(__name__)

_MAGIC = b"vitascope-pixels"
_ENDING = ".pixels"
_TAIL = len(_MAGIC) + 8 + 32  # magic, number of images, SHA-256 of the index
_SPARE = 1 << 30  # bytes of the disk that are left free
_ABANDONED = 24 * 3600  # seconds after which what a killed process was writing is cleared away


@dataclass(frozen=True, eq=False)
class ArraySource(Source):
    """A source whose images are decoded already."""

    name: str
    """For people."""
    classes: tuple[str, ...]
    """Label i is classes[i]."""
    labels: Labels
    """(n,) int64, or (n, K) bool."""
    images: UInt8 | Sequence[UInt8] | Mapped
    """n times uint8 (H, W, 3)."""
    descriptions: Sequence[str] = field(default=(), repr=False)
    """How messages name each item; empty for "name[index]", or as `source` says."""
    source: Source | None = field(default=None, repr=False)
    """What the images were decoded from, item by item; None where they come from nowhere else."""

    def __getitem__(self, index: int) -> UInt8:
        return self.images[index].copy()

    def open(self, index: int) -> Picture:
        return Picture(self.images[index])

    def describe(self, index: int) -> str:
        if self.source is not None:
            return self.source.describe(index)
        return self.descriptions[index] if self.descriptions else super().describe(index)

    def origin(self) -> tuple[Source, Int64]:
        return super().origin() if self.source is None else self.source.origin()

    def identity(self) -> Iterable[bytes | memoryview]:
        return super().identity() if self.source is None else [self.source.fingerprint().encode()]

    def contents(self) -> str:
        return super().contents() if self.source is None else self.source.contents()


def in_memory(
    source: Source,
    budget_bytes: int,
    *,
    skip_unreadable: bool = False,
    dropped: list[ImageError] | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Source:
    """Decode a source once and for all if its pixels fit `budget_bytes`; else return it as it is.

    The size is guessed from a few images before anything is kept, and watched while decoding. A bad image raises
    ImageError, or is left out, counted in the log and added to `dropped`; then every image is decoded once even where
    they do not fit (→ View of the readable ones).
    """
    if _held(source):
        return source
    remarks = Remarks()
    fits = estimate_bytes(source, remarks) <= budget_bytes
    if not fits and budget_bytes:
        log.info("%s does not fit %s of memory; decoded as needed", source.name, memory_text(budget_bytes))
    bad: list[ImageError] = []
    good: list[int] = []
    kept: list[UInt8] = []
    left = budget_bytes
    if fits or skip_unreadable:
        remarks = Remarks()
        for index, image in enumerate(decode_all(source, workers=workers, remarks=remarks)):
            if progress is not None:
                progress(index + 1, len(source))
            if isinstance(image, ImageError):
                if not skip_unreadable:
                    raise image
                bad.append(image)
                continue
            good.append(index)
            if fits:
                kept.append(image)
                left -= image.nbytes
            if fits and left < 0:
                log.info("%s turned out larger than %s; decoded as needed", source.name, memory_text(budget_bytes))
                fits = False
                kept.clear()
                if not skip_unreadable:
                    break
    for told in remarks.told().values():
        log.warning("%s: %s", printable(source.name), told)
    if bad:
        log.warning("%s: %d of %d images left out as unreadable", source.name, len(bad), len(source))
        if dropped is not None:
            dropped.extend(bad)
        if not good:
            raise DataError(f"{printable(source.name)}: none of {len(source)} images can be read; first: {bad[0]}")
        source = View(source, np.array(good, dtype=np.int64))
    return ArraySource(source.name, source.classes, source.labels, kept, source=source) if fits else source


class Mapped:
    """The images of a source in a file, mapped by each process that asks for one; without the file decoded again."""

    def __init__(self, source: Source, path: Path, places: Int64) -> None:
        self.source, self.path = source, path
        self.places = places
        """(n, 3) where each image begins, its height and its width."""

    def __getitem__(self, index: int) -> UInt8:
        if self._pixels is None:
            return self.source[index]
        start, height, width = self.places[index].tolist()
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pixels"}

    @cached_property
    def _pixels(self) -> UInt8 | None:
        try:
            # A plain array: slices of a memmap cost ten times as much.
            return np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r"))
        except (OSError, ValueError):
            log.warning("%s is gone; images are decoded again", self.path)
            return None


def on_disk(
    source: Source,
    budget_bytes: int,
    *,
    beside: Sequence[Source | None] = (),
    folder: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Source:
    """Decode a source once and for all into a file, where that and the files of other sources fit `budget_bytes`.

    The files used longest ago make room, except those of the sources `beside` it, which the same run uses. Returns the
    source as it is where it does not fit, where the disk has no room, and where there is nothing to gain, in memory and
    for generated images; the pixels are the same. Of several processes one writes, the others wait. Raises ImageError
    for an unreadable image.
    """
    if budget_bytes <= 0 or len(source) == 0 or source.together or _held(source):
        return source
    folder = folder or cache_folder() / "images"
    version = f"{_MAGIC.decode()} {__version__} Pillow {PIL.__version__}"
    path = folder / (hashlib.sha256(f"{version} {source.fingerprint()}".encode()).hexdigest()[:32] + _ENDING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as alone:
            take(alone, wait=True, threads=True)  # without locks each process writes its own, and the last one's stays
            places = _places(path, len(source))
            if places is None:
                damaged = path.exists()
                in_use = {s.images.path for s in beside if isinstance(s, ArraySource) and isinstance(s.images, Mapped)}
                if not _make_room(path, estimate_bytes(source), budget_bytes, in_use):
                    log.info("%s does not fit %d bytes of disk; decoded as needed", source.name, budget_bytes)
                    return source
                if damaged:
                    log.warning("%s: our copy of %s is damaged; written anew", path, source.name)
                log.info("%s: decoding %d images into %s", source.name, len(source), path)
                places = _write(source, path, budget_bytes, progress, workers)
            os.utime(path)
    except OSError as error:
        log.warning("%s cannot be kept in %s (%s); decoded as needed", source.name, folder, error.strerror)
        return source
    return ArraySource(source.name, source.classes, source.labels, Mapped(source, path, places), source=source)


def _held(source: Source) -> bool:
    return _held(source.source) if type(source) is View else isinstance(source, ArraySource)


def _write(source: Source, path: Path, budget_bytes: int, progress: Progress | None, workers: int | None) -> Int64:
    """The index of the new file; OSError where it turns out larger than the budget."""
    places = np.zeros((len(source), 3), dtype=np.int64)
    end = 0
    with written_whole(path) as temporary, temporary.open("wb") as file:
        for index, image in enumerate(decode_all(source, workers=workers)):
            if isinstance(image, ImageError):
                raise image
            places[index] = end, *image.shape[:2]
            end += image.nbytes
            if end > budget_bytes:
                raise OSError(errno.EFBIG, f"they are larger than {budget_bytes} bytes")
            file.write(np.ascontiguousarray(image).data)
            if progress is not None:
                progress(index + 1, len(source))
        file.write(places.tobytes() + _MAGIC + len(places).to_bytes(8, "little"))
        file.write(hashlib.sha256(places.tobytes()).digest())
    return places


def _places(path: Path, images: int) -> Int64 | None:
    """The index of a file; None where there is none or it is damaged."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(size - _TAIL - images * 24, 0))
            index, tail = file.read(images * 24), file.read()
    except OSError:
        return None
    if tail != _MAGIC + images.to_bytes(8, "little") + hashlib.sha256(index).digest():
        return None
    places = np.frombuffer(index, dtype=np.int64).reshape(images, 3)
    return places if int((places[:, 1] * places[:, 2] * 3).sum()) == start else None


def _make_room(path: Path, needed: int, budget_bytes: int, in_use: set[Path]) -> bool:
    """Deletes the files used longest ago until `needed` bytes fit the budget; False where they cannot, or the disk is
    full."""
    if needed + sum(file.stat().st_size for file in in_use if file.exists()) > budget_bytes:
        return False
    for left in path.parent.glob(f".*{_ENDING}.*.tmp"):
        if left.name.startswith(f".{path.name}.") or left.stat().st_mtime < time.time() - _ABANDONED:
            left.unlink(missing_ok=True)
    path.unlink(missing_ok=True)  # damaged
    found = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in path.parent.glob(f"*{_ENDING}"))
    total = sum(size for _, size, _ in found)
    for _, size, file in found:
        if total + needed <= budget_bytes:
            break
        if file in in_use:
            continue
        log.info("%s is deleted to make room", file)
        file.unlink(missing_ok=True)
        total -= size
    return shutil.disk_usage(path.parent).free - needed >= _SPARE
