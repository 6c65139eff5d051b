"""Images held decoded in memory: small data sets are decoded once instead of once an epoch."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from vitascope.data.images import UInt8
from vitascope.data.picture import Picture
from vitascope.data.remarks import Remarks
from vitascope.data.room import Room
from vitascope.data.source import Int64, Source, View
from vitascope.errors import ConfigError, DataError, ImageError
from vitascope.wording import memory_text, printable

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called as progress(done, total) from the caller's own thread."""

_SAMPLED = 16  # images decoded to guess the size of all
_WORTH_A_THREAD = 100_000  # bytes decoded; handing smaller images between threads takes longer than decoding them
_TOGETHER = 64  # generated images made at once
_CHUNK = 256  # images handed to the threads at once
IN_FLIGHT = 1 << 30
"""Bytes of images that are being decoded or wait for their reader: four photographs of 24 million pixels at a time."""


@dataclass(frozen=True, eq=False)
class ArraySource(Source):
    """A source whose images are in memory already."""

    name: str
    """For people."""
    classes: tuple[str, ...]
    """Label i is classes[i]."""
    labels: Int64
    """(n,) int64."""
    images: UInt8 | Sequence[UInt8]
    """uint8 (n, H, W, 3), or a list of n uint8 (H, W, 3) where sizes differ."""
    descriptions: Sequence[str] = field(default=(), repr=False)
    """How messages name each item; empty for "name[index]"."""
    source: Source | None = field(default=None, repr=False)
    """What the images were decoded from, item by item; None where they come from nowhere else."""

    def __getitem__(self, index: int) -> UInt8:
        return self.images[index].copy()

    def open(self, index: int) -> Picture:
        return Picture(self.images[index])

    def describe(self, index: int) -> str:
        return self.descriptions[index] if self.descriptions else super().describe(index)

    def origin(self) -> tuple[Source, Int64]:
        return super().origin() if self.source is None else self.source.origin()


def in_memory(
    source: Source,
    budget_bytes: int,
    *,
    on_error: Literal["raise", "skip"] = "raise",
    dropped: list[ImageError] | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Source:
    """Decode a source once and for all if its pixels fit `budget_bytes`; else return it as it is.

    → ArraySource over one uint8 array (n, H, W, 3) where all images have one size, else over a list. The size is
    guessed from a few images before anything is kept, and watched while decoding.
    A bad image raises ImageError. With on_error="skip" it is left out, counted in the log and added to `dropped`;
    then every image is decoded once even where they do not fit (→ View of the readable ones).
    """
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error={on_error!r}, expected 'raise' or 'skip'; give one of them")
    if isinstance(source, ArraySource):
        return source
    remarks = Remarks()
    fits = estimate_bytes(source, remarks) <= budget_bytes
    if not fits:
        if budget_bytes:
            log.info("%s does not fit %s of memory; decoded as needed", source.name, memory_text(budget_bytes))
        if on_error == "raise":
            _warn(source, remarks, len(_sample(source)))
            return source
    remarks = Remarks()
    bad: list[ImageError] = []
    good: list[int] = []
    kept: list[UInt8] = []
    total = 0
    for index, image in enumerate(decode_all(source, workers=workers, remarks=remarks)):
        if progress is not None:
            progress(index + 1, len(source))
        if isinstance(image, ImageError):
            if on_error == "raise":
                raise image
            bad.append(image)
            continue
        good.append(index)
        total += image.nbytes
        if fits and total > budget_bytes:
            log.info("%s turned out larger than %s; decoded as needed", source.name, memory_text(budget_bytes))
            fits = False
            kept.clear()
            if on_error == "raise":
                _warn(source, remarks, index + 1)
                return source
        if fits:
            kept.append(image)
    _warn(source, remarks, len(source))
    if bad:
        log.warning("%s: %d of %d images left out as unreadable", source.name, len(bad), len(source))
        if dropped is not None:
            dropped.extend(bad)
        if not good:
            raise DataError(f"{printable(source.name)}: none of {len(source)} images can be read; first: {bad[0]}")
    if not fits:
        return View(source, np.array(good, dtype=np.int64), source.name) if bad else source
    images = _stacked(kept) if len({image.shape for image in kept}) == 1 else kept
    return ArraySource(
        source.name,
        source.classes,
        source.labels[good],
        images,
        [source.describe(index) for index in good],
        View(source, np.array(good, dtype=np.int64), source.name),
    )


def _warn(source: Source, remarks: Remarks, looked_at: int) -> None:
    for told in remarks.told(looked_at).values():
        log.warning("%s: %s", printable(source.name), told)


def _stacked(images: list[UInt8]) -> UInt8:
    """np.stack that lets go of each image as it is copied, so that the peak stays near one copy of all."""
    result = np.empty((len(images), *images[0].shape), dtype=np.uint8)
    for index in range(len(images)):
        result[index] = images[index]
        images[index] = result[index]
    return result


def estimate_bytes(source: Source, remarks: Remarks | None = None) -> int:
    """About how many bytes all images take decoded, from up to 16 readable ones spread evenly."""
    remarks = Remarks() if remarks is None else remarks
    sizes = [size for index in _sample(source) if (size := _size(_one(source, index, remarks)))]
    return round(float(np.mean(sizes)) * len(source)) if sizes else 0


def _sample(source: Source) -> list[int]:
    return np.unique(np.linspace(0, len(source) - 1, _SAMPLED).astype(int)).tolist() if len(source) else []


def decode_all(
    source: Source, *, workers: int | None = None, in_flight: int = IN_FLIGHT, remarks: Remarks | None = None
) -> Iterator[UInt8 | ImageError]:
    """Every image in order, or the ImageError it raised; what is odd about them is counted in `remarks`.

    Decoded by `workers` threads; by default by one per core, or by the caller's own where the images are small or
    generated together. At most `in_flight` bytes are in use for images not yet taken, or one image, whatever its size.
    """
    if source.together:
        for start in range(0, len(source), _TOGETHER):
            yield from source.read_many(range(start, min(start + _TOGETHER, len(source))))
        return
    remarks = Remarks() if remarks is None else remarks
    largest = 0
    for index in range(len(source)):
        if index >= _SAMPLED and (workers is not None or largest >= _WORTH_A_THREAD):
            break
        image = _one(source, index, remarks)
        largest = max(largest, _size(image)) if index < _SAMPLED else largest
        yield image
    else:
        return
    room = Room(in_flight, largest)

    def one(index: int) -> UInt8 | ImageError:
        room.enter(index)
        image = _one(source, index, remarks)
        room.decoded(_size(image))
        return image

    pool = ThreadPoolExecutor(room.threads(workers or min(os.cpu_count() or 1, 16)))
    waiting: deque[Future[UInt8 | ImageError]] = deque()
    try:
        for index in range(_SAMPLED, len(source)):
            room.wait_for(index)
            while len(waiting) < _CHUNK and index + len(waiting) < len(source):
                waiting.append(pool.submit(one, index + len(waiting)))
            image = waiting.popleft().result()
            yield image
            room.taken(_size(image))
    finally:
        room.close()
        pool.shutdown(cancel_futures=True)


def _one(source: Source, index: int, remarks: Remarks) -> UInt8 | ImageError:
    """An image or why there is none; what is odd about it goes to `remarks`."""
    with remarks.about(source.describe(index)):
        try:
            return source[index]
        except ImageError as error:
            return error


def _size(image: UInt8 | ImageError) -> int:
    return 0 if isinstance(image, ImageError) else image.nbytes
