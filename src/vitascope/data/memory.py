"""Images held decoded in memory: small data sets are decoded once instead of once an epoch."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from vitascope.data.images import UInt8, printable
from vitascope.data.source import Int64, Source, Subset, makes_many, read_many
from vitascope.errors import ConfigError, DataError, ImageError
from vitascope.wording import memory_text

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called as progress(done, total) from the caller's own thread."""

_SAMPLED = 16  # images decoded to guess the size of all
_WORTH_A_THREAD = 100_000  # bytes decoded; handing smaller images between threads takes longer than decoding them
_TOGETHER = 64  # generated images made at once
_CHUNK = 256  # images in flight, so that a large source is never decoded far ahead of its reader


@dataclass(frozen=True, eq=False)
class ArraySource:
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

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> UInt8:
        return self.images[index].copy()

    def open(self, index: int) -> UInt8:
        """See `vitascope.data.source.open_many`."""
        return self.images[index]

    def describe(self, index: int) -> str:
        return self.descriptions[index] if self.descriptions else f"{self.name}[{index}]"


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
    then every image is decoded once even where they do not fit (→ Subset of the readable ones).
    """
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error={on_error!r}, expected 'raise' or 'skip'; give one of them")
    if isinstance(source, ArraySource):
        return source
    fits = estimate_bytes(source) <= budget_bytes
    if not fits:
        if budget_bytes:
            log.info("%s does not fit %s of memory; decoded as needed", source.name, memory_text(budget_bytes))
        if on_error == "raise":
            return source
    bad: list[ImageError] = []
    good: list[int] = []
    kept: list[UInt8] = []
    total = 0
    for index, image in enumerate(decode_all(source, workers=workers)):
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
                return source
        if fits:
            kept.append(image)
    if bad:
        log.warning("%s: %d of %d images left out as unreadable", source.name, len(bad), len(source))
        if dropped is not None:
            dropped.extend(bad)
        if not good:
            raise DataError(f"{printable(source.name)}: none of {len(source)} images can be read; first: {bad[0]}")
    if not fits:
        return Subset(source, np.array(good, dtype=np.int64), source.name) if bad else source
    images = _stacked(kept) if len({image.shape for image in kept}) == 1 else kept
    return ArraySource(
        source.name,
        source.classes,
        source.labels[good],
        images,
        [source.describe(index) for index in good],
        Subset(source, np.array(good, dtype=np.int64), source.name),
    )


def _stacked(images: list[UInt8]) -> UInt8:
    """np.stack that lets go of each image as it is copied, so that the peak stays near one copy of all."""
    result = np.empty((len(images), *images[0].shape), dtype=np.uint8)
    for index in range(len(images)):
        result[index] = images[index]
        images[index] = result[index]
    return result


def estimate_bytes(source: Source) -> int:
    """About how many bytes all images take decoded, from up to 16 readable ones spread evenly."""
    sizes = []
    for index in np.unique(np.linspace(0, len(source) - 1, _SAMPLED).astype(int)) if len(source) else ():
        try:
            sizes.append(source[int(index)].nbytes)
        except ImageError:
            continue
    return round(float(np.mean(sizes)) * len(source)) if sizes else 0


def decode_all(source: Source, *, workers: int | None = None) -> Iterator[UInt8 | ImageError]:
    """Every image in order, or the ImageError it raised.

    Decoded by `workers` threads; by default by one per core, or by the caller's own where the images are small or
    generated together.
    """

    def one(index: int) -> UInt8 | ImageError:
        try:
            return source[index]
        except ImageError as error:
            return error

    first = [one(index) for index in range(min(len(source), _SAMPLED))]
    yield from first
    rest = range(len(first), len(source))
    largest = max((image.nbytes for image in first if not isinstance(image, ImageError)), default=0)
    if makes_many(source):
        for start in range(0, len(rest), _TOGETHER):
            yield from read_many(source, rest[start : start + _TOGETHER])
        return
    if workers is None and largest < _WORTH_A_THREAD:
        yield from map(one, rest)
        return
    with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 16)) as pool:
        for start in range(0, len(rest), _CHUNK):
            yield from pool.map(one, rest[start : start + _CHUNK])
