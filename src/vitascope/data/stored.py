"""Decoded images kept on disk: what is too large for memory is decoded once, not once an epoch.

A file of the cache folder holds all images of one source, one after the other, then where each begins and its size; it
is mapped, so that what is read costs no memory that the system cannot take back. Its name is the hash of all that the
pixels depend on: the source's fingerprint, this package's version and the decoder's. So nothing is stale, unless a
photograph changes but not its size and time of change. Any file may be deleted at any time: its images are decoded
again, to the same pixels. A flipped bit in the pixels is not noticed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from vitascope.cache import cache_folder
from vitascope.data.fingerprint import joined
from vitascope.data.images import UInt8
from vitascope.data.memory import ArraySource, Progress, decode_all, estimate_bytes
from vitascope.data.picture import Picture
from vitascope.data.resize import resample
from vitascope.data.source import Int64, Source, View
from vitascope.errors import ImageError
from vitascope.lock import take
from vitascope.version import __version__
from vitascope.whole import written_whole

log = logging.getLogger(__name__)

_MAGIC = b"vitascope-pixels"
_ENDING = ".pixels"
_TAIL = len(_MAGIC) + 8 + 32  # magic, number of images, SHA-256 of the index
_SPARE = 1 << 30  # bytes of the disk that are left free
_ABANDONED = 24 * 3600  # seconds after which what a killed process was writing is cleared away


class Shrunk(View):
    """A source's images with their shorter side at most `side` pixels, for crops that need no more.

    JPEG files are decoded at 1/2, 1/4 or 1/8 where that is no smaller. The same pixels wherever they are kept.
    """

    kind = "Shrunk"

    def __init__(self, source: Source, side: int) -> None:
        super().__init__(source)
        self.side, self.together = side, False

    def __getitem__(self, index: int) -> UInt8:
        image = self.source.open(index)
        height, width = image.size
        array = image.read(draft=(self.side, self.side))
        if min(height, width) > self.side:
            scale = self.side / min(height, width)
            size = (max(round(height * scale), self.side), max(round(width * scale), self.side))
            array = resample(array, size, reducing_gap=3.0)
        return array.copy()

    def open(self, index: int) -> Picture:
        return Picture(self[index])

    def identity(self) -> Iterable[bytes]:
        yield f"{self.side} {self.source.fingerprint()}".encode()

    def contents(self) -> str:
        return joined([str(self.side), super().contents()])


class StoredSource(View):
    """A source whose decoded images lie in a file; without the file they are decoded again."""

    kind = "StoredSource"

    def __init__(self, source: Source, path: Path, places: Int64) -> None:
        super().__init__(source)
        self.together = False
        self.path = path
        """The file."""
        self.places = places
        """(n, 3) where each image begins, its height and its width."""
        self._state: dict[str, Any] = {}

    def __getitem__(self, index: int) -> UInt8:
        return self.open(index).read().copy()

    def open(self, index: int) -> Picture:
        pixels = self._pixels()
        if pixels is None:
            return Picture(self.source[index])
        start, height, width = self.places[index].tolist()
        return Picture(pixels[start : start + height * width * 3].reshape(height, width, 3))

    def identity(self) -> Iterable[bytes]:
        yield self.source.fingerprint().encode()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": {}}

    def _pixels(self) -> UInt8 | None:
        if "pixels" not in self._state:
            try:
                # A plain array: slices of a memmap cost ten times as much.
                self._state["pixels"] = np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r"))
            except (OSError, ValueError):
                log.warning("%s is gone; images are decoded again", self.path)
                self._state["pixels"] = None
        pixels: UInt8 | None = self._state["pixels"]
        return pixels


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
                needed = estimate_bytes(source)
                in_use = {other.path for other in beside if isinstance(other, StoredSource)}
                if not _make_room(path, needed, budget_bytes, in_use):
                    log.info("%s does not fit %d bytes of disk; decoded as needed", source.name, budget_bytes)
                    return source
                if damaged:
                    log.warning("%s: our copy of %s is damaged; written anew", path, source.name)
                log.info("%s: decoding %d images into %s", source.name, len(source), path)
                places = _write(source, path, budget_bytes, progress, workers)
            if places is None:
                return source
            os.utime(path)
    except OSError as error:
        log.warning("%s cannot be kept in %s (%s); decoded as needed", source.name, folder, error.strerror)
        return source
    return StoredSource(source, path, places)


def _held(source: Source) -> bool:
    return _held(source.source) if type(source) is View else isinstance(source, ArraySource | StoredSource)


def _write(
    source: Source, path: Path, budget_bytes: int, progress: Progress | None, workers: int | None
) -> Int64 | None:
    """The index of the new file; None where it turned out larger than the budget."""
    places = np.zeros((len(source), 3), dtype=np.int64)
    end = 0
    with written_whole(path) as temporary, temporary.open("wb") as file:
        for index, image in enumerate(decode_all(source, workers=workers)):
            if isinstance(image, ImageError):
                raise image
            places[index] = end, *image.shape[:2]
            end += image.nbytes
            if end > budget_bytes:
                break
            file.write(np.ascontiguousarray(image).data)
            if progress is not None:
                progress(index + 1, len(source))
        file.write(places.tobytes() + _MAGIC + len(places).to_bytes(8, "little"))
        file.write(hashlib.sha256(places.tobytes()).digest())
    if end > budget_bytes:
        path.unlink(missing_ok=True)
        log.info("%s turned out larger than %d bytes; decoded as needed", source.name, budget_bytes)
        return None
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
