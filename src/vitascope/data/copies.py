"""Which images of a data set are copies of one another: the same file or pixels, and near copies (`alike`).

What is found is kept in the cache folder under the sources' fingerprints, so that `check`, a training and an
evaluation look once. Images are told apart by eight bytes of the hash of their JPEG file, or of their pixels where
they are no JPEG; generated images by what generates them, and they are no copies.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from vitascope.cache import cache_folder
from vitascope.data.alike import LEAST_SIDE, SIDE, near_pairs
from vitascope.data.images import UInt8
from vitascope.data.jpeg import OpenJpeg
from vitascope.data.source import Int64, Source
from vitascope.errors import ImageError
from vitascope.version import __version__
from vitascope.whole import recall_arrays, remember_arrays

log = logging.getLogger(__name__)

NEAR_LIMIT = 20_000
"""Images, of all splits together, above which only exact copies are looked for: near ones of 60,000 took minutes."""
LIMIT = 250_000
"""Images above which no file is read to look for copies at all."""
CHAINED = 0.1
"""Share of all images in one group of near copies from which the pictures are of one mould, and near says nothing."""
_DRAFT = 128  # pixels a side that a JPEG is decoded to at least
_CHUNK = 256  # images in flight
_SLOW = 1000  # images from which looking is said to begin


@dataclass(frozen=True, eq=False)
class Copies:
    """Groups over all images of a few sources."""

    sources: tuple[Source, ...]
    """As `origin` names them."""
    exact: Int64
    """(n,) over the sources one after the other: images of one number are the same file or the same pixels."""
    near: Int64
    """(n,) likewise, near copies too."""
    limits: str = ""
    """What was not looked for, and why, in one line; empty where all was."""

    def of(self, source: Source, *, exact: bool = False) -> Int64:
        """The groups of the images of one of the sources, or of any part of one, (len(source),)."""
        origin, positions = source.origin()
        start = 0
        for known in self.sources:
            if known is origin:
                return (self.exact if exact else self.near)[start + positions]
            start += len(known)
        raise KeyError(source.name)


def find_copies(sources: Iterable[Source], progress: Callable[[int, int], None] | None = None) -> Copies:
    """Groups of exact and near copies within and between sources; `progress(done, total)` while images are read."""
    origins: list[Source] = []
    for source in sources:
        if not any(source.origin()[0] is known for known in origins):
            origins.append(source.origin()[0])
    n = sum(map(len, origins))
    alone = np.arange(n, dtype=np.int64)
    if n > LIMIT:
        said = f"{n:,} images, more than {LIMIT:,}: copies among them are not looked for"
        return Copies(tuple(origins), alone, alone, said)
    if all(source.together for source in origins):
        return Copies(tuple(origins), alone, alone)
    key = f"groups {LEAST_SIDE} {[source.fingerprint() for source in origins]}"
    kept = recall_arrays(_path(key))
    if not kept:
        read = [_marks(source, progress) for source in origins]
        digests = np.concatenate([marks["digests"] for marks in read])
        unknown = digests == 0  # unreadable: like no other
        exact = np.unique(np.where(unknown, alone, digests), return_inverse=True)[1].astype(np.int64)
        near = exact
        if n <= NEAR_LIMIT:
            first = np.unique(exact, return_index=True)[1]  # one of each; copies of it are no news
            pairs = first[near_pairs(np.concatenate([marks["small"] for marks in read])[first])]
            near = _connected(exact, pairs)
        kept = {"exact": exact, "near": near}
        remember_arrays(_path(key), kept)
    exact, near, said = kept["exact"], kept["near"], ""
    largest = int(np.bincount(near).max(initial=0))
    if n > NEAR_LIMIT:
        said = f"{n:,} images, more than {NEAR_LIMIT:,}: only exact copies among them are looked for"
    elif largest > max(CHAINED * n, 20) and largest > np.bincount(exact).max():
        said = f"{largest:,} of {n:,} images look alike, as of one mould; only exact copies are kept on one side"
        near = exact
    return Copies(tuple(origins), exact, near, said)


def digests(source: Source) -> Int64 | None:
    """Eight bytes for the content of each image, (len(source),), 0 for an unreadable one; None beyond `LIMIT`."""
    origin, positions = source.origin()
    return None if len(origin) > LIMIT else _marks(origin)["digests"][positions]


def groups(copies: Int64) -> list[Int64]:
    """Positions of the images of every group of two or more, in order."""
    order = np.argsort(copies, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(copies[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))


def _marks(source: Source, progress: Callable[[int, int], None] | None = None) -> dict[str, np.ndarray]:
    """ "digests" int64 (n,) and "small" uint8 (n, SIDE, SIDE), zeros where an image is not compared."""
    n = len(source)
    if source.together:
        own = source.fingerprint()
        made = [_eight_bytes(f"{own} {index}".encode()) for index in range(n)]
        return {"digests": np.array(made, dtype=np.int64), "small": np.zeros((n, SIDE, SIDE), dtype=np.uint8)}
    key = f"marks {LEAST_SIDE} {source.fingerprint()}"
    if kept := recall_arrays(_path(key)):
        return kept
    if n >= _SLOW:
        log.info("%s: looking at %d images for copies, once", source.name, n)
    result: dict[str, np.ndarray] = {
        "digests": np.zeros(n, dtype=np.int64),
        "small": np.zeros((n, SIDE, SIDE), dtype=np.uint8),
    }
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for start in range(0, n, _CHUNK):
            chunk = range(start, min(start + _CHUNK, n))
            for index, (digest, small) in zip(chunk, pool.map(lambda i: _mark(source, i), chunk), strict=True):
                result["digests"][index] = digest
                result["small"][index] = small
            if progress is not None:
                progress(chunk.stop, n)
    remember_arrays(_path(key), result)
    return result


def _mark(source: Source, index: int) -> tuple[int, UInt8]:
    nothing = np.zeros((SIDE, SIDE), dtype=np.uint8)
    try:
        image = source.open(index)
        if isinstance(image, OpenJpeg):
            digest, shape = _eight_bytes(image.data), image.shape
            pixels = image.read(1, draft=(_DRAFT, _DRAFT))[:, :, 0]
        else:
            shape = image.shape
            digest = _eight_bytes(repr(shape).encode() + np.ascontiguousarray(image).tobytes())
            pixels = np.asarray(Image.fromarray(image).convert("L"))
    except ImageError:
        return 0, nothing
    if min(shape[:2]) < LEAST_SIDE:
        return digest, nothing
    return digest, np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))


def _eight_bytes(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True) or 1


def _connected(exact: Int64, pairs: Int64) -> Int64:
    """Groups joined where a pair of images (m, 2) lies in two of them."""
    from scipy.sparse import coo_matrix  # comes with scikit-learn
    from scipy.sparse.csgraph import connected_components

    a, b = exact[pairs].reshape(-1, 2).T
    size = int(exact.max(initial=-1)) + 1
    joined = coo_matrix((np.ones(len(a)), (a, b)), shape=(size, size))
    return connected_components(joined, directed=False)[1].astype(np.int64)[exact]


def _path(key: str) -> Path:
    version = f"{__version__} Pillow {PIL.__version__} {key}"
    return cache_folder() / "copies" / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.npz"
