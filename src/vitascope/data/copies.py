"""Which images of a data set are copies of one another: the same file or pixels, near copies, mirrored (`alike`).

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
from typing import Any, Literal

import numpy as np
import PIL
from PIL import Image

from vitascope.cache import cache_folder
from vitascope.data.alike import LEAST_SIDE, SEARCH, SIDE, near_pairs
from vitascope.data.images import UInt8
from vitascope.data.labels import label_sets, set_name
from vitascope.data.picture import Picture
from vitascope.data.source import Int64, Source, Splits, View
from vitascope.errors import ImageError
from vitascope.version import __version__
from vitascope.whole import recall_arrays, remember_arrays

log = logging.getLogger(__name__)

NEAR_LIMIT = 20_000
"""Images, of all splits together, above which only exact copies are looked for: near ones of 60,000 took minutes.
`data.among` looks for those of one set in another, which takes less."""
LIMIT = 250_000
"""Images above which no file is read to look for copies at all."""
CHAINED = 0.1
"""Share of all images in one group of near copies from which the pictures are of one mould, and near says nothing."""
_DRAFT = 128  # pixels a side that a JPEG is decoded to at least
_CHUNK = 256  # images in flight
_SLOW = 1000  # images from which looking is said to begin


Kind = Literal["the same", "near", "mirrored"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Images that are copies of one another."""

    kind: Kind
    """The least alike that it takes: "mirrored" where without mirror images they were several groups."""
    items: tuple[tuple[str, int], ...]
    """(split, position) of each."""
    classes: tuple[str, ...]
    """Under which they stand, in the order of labels."""

    @property
    def splits(self) -> tuple[str, ...]:
        """In which they stand."""
        return tuple(dict.fromkeys(split for split, _ in self.items))

    def as_json(self, splits: Splits) -> dict[str, Any]:
        """ "kind", "files", "splits" and "classes"."""
        files = [splits.present()[split].describe(index) for split, index in self.items]
        return {"kind": self.kind, "files": files, "splits": list(self.splits), "classes": list(self.classes)}


@dataclass(frozen=True, eq=False)
class Copies:
    """Groups over all images of a few sources."""

    sources: tuple[Source, ...]
    """As `origin` names them."""
    exact: Int64
    """(n,) over the sources one after the other: images of one number are the same file or the same pixels."""
    near: Int64
    """(n,) likewise, near copies and mirrored ones too."""
    upright: Int64
    """(n,) likewise, near copies but for those that are mirrored."""
    limits: str = ""
    """What was not looked for, and why, in one line; empty where all was."""

    def of(self, source: Source) -> Int64:
        """The groups `near` of the images of one of the sources, or of any part of one, (len(source),)."""
        return self.near[self._places(source)]

    def _places(self, source: Source) -> Int64:
        origin, positions = source.origin()
        start = 0
        for known in self.sources:
            if known is origin:
                return start + positions
            start += len(known)
        raise KeyError(source.name)

    def found(self, splits: Splits) -> list[Found]:
        """The groups of two or more of `splits`: across splits first, then across classes, then by place."""
        nothing = np.zeros(0, dtype=np.int64)
        sources = list(splits.present().values())
        places = np.concatenate([nothing, *map(self._places, sources)])
        labels = [each for source in sources for each in label_sets(source.labels)]
        items = [(name, i) for name, source in splits.present().items() for i in range(len(source))]
        told = []
        for group in groups(self.near[places]):
            kinds: dict[Kind, Int64] = {"the same": self.exact, "near": self.upright}
            kind: Kind = next((k for k, by in kinds.items() if len(set(by[places[group]].tolist())) == 1), "mirrored")
            kinds_of_labels = sorted({labels[i] for i in group}) if splits.classes else []
            classes = tuple(set_name(each, splits.classes) for each in kinds_of_labels)
            told.append(Found(kind=kind, items=tuple(items[i] for i in group), classes=classes))
        return sorted(told, key=lambda found: (len(found.splits) < 2, len(found.classes) < 2))


def find_copies(sources: Iterable[Source], progress: Callable[[int, int], None] | None = None) -> Copies:
    """Groups of exact and near copies within and between sources; `progress(done, total)` while images are read."""
    origins = tuple({id(origin): origin for origin in (source.origin()[0] for source in sources)}.values())
    n = sum(map(len, origins))
    alone = np.arange(n, dtype=np.int64)
    if n > LIMIT or all(source.together for source in origins):
        said = f"{n:,} images, more than {LIMIT:,}: copies among them are not looked for" if n > LIMIT else ""
        return Copies(origins, alone, alone, alone, said)
    path = kept_at(f"groups {SEARCH} {[source.fingerprint() for source in origins]}")
    kept = recall_arrays(path)
    if not kept:
        read = [_marks(source, progress) for source in origins]
        exact, near, upright = copies_among(*(np.concatenate(parts) for parts in zip(*read, strict=True)))
        kept = {"exact": exact, "near": near, "upright": upright}
        remember_arrays(path, kept)
    exact, near, upright = kept["exact"], kept["near"], kept["upright"]
    if n > NEAR_LIMIT:
        said = f"{n:,} images, more than {NEAR_LIMIT:,}: only exact copies among them are looked for"
    else:
        near, said = unless_of_one_mould(exact, near)
        upright = exact if said else upright
    return Copies(origins, exact, near, upright, said)


def copies_among(marks: Int64, small: UInt8) -> tuple[Int64, Int64, Int64]:
    """Groups (n,) of exact, of near and of upright copies, as of `Copies`, by what `mark_of` gives of n images."""
    exact = exact_groups(marks)
    if len(marks) > NEAR_LIMIT:
        return exact, exact, exact
    first = np.unique(exact, return_index=True)[1]  # one of each; copies of it are no news
    upright = connected(exact, first[near_pairs(small[first])])
    return exact, connected(upright, first[near_pairs(small[first], mirrored=True)]), upright


def joined_by_copies(known: Int64, small: UInt8, since: int) -> Int64:
    """Groups (n,) joined where an image from `since` on is a near copy, by `small` (n, SIDE, SIDE), of any other.

    They stay as they are where there are too many images, or pictures of one mould.
    """
    if len(known) > NEAR_LIMIT:
        return known
    numbers = np.unique(known, return_inverse=True)[1].astype(np.int64)
    rows = np.arange(since, len(small))
    pairs = [near_pairs(small, mirrored=mirrored, rows=rows) for mirrored in (False, True)]
    return unless_of_one_mould(numbers, connected(numbers, np.concatenate(pairs)))[0]


def unless_of_one_mould(exact: Int64, near: Int64) -> tuple[Int64, str]:
    """`near`; where its largest group holds so many that near says nothing, `exact`, and the reason in one line."""
    largest = int(np.bincount(near).max(initial=0))
    if largest <= max(CHAINED * len(near), 20) or largest <= np.bincount(exact).max():
        return near, ""
    return exact, f"{largest:,} of {len(near):,} images look alike, as of one mould; only exact copies count"


def digests(source: Source) -> Int64 | None:
    """Eight bytes for the content of each image, (len(source),), 0 for an unreadable one; None beyond `LIMIT`."""
    found = looked_at(source)
    return None if found is None else found[0]


def readable_part(source: Source) -> Source:
    """The images of `source` that can be read; all of them beyond `LIMIT`, where nobody looks."""
    marks = digests(source)
    return source if marks is None or marks.all() else View(source, np.flatnonzero(marks).astype(np.int64))


def looked_at(source: Source) -> tuple[Int64, UInt8] | None:
    """`digests`, and what is compared of each image (len(source), SIDE, SIDE), zeros where that is nothing."""
    origin, positions = source.origin()
    if len(origin) > LIMIT:
        return None
    marks, small = _marks(origin)
    return marks[positions], small[positions]


def groups(copies: Int64) -> list[Int64]:
    """Positions of the images of every group of two or more, in order."""
    order = np.argsort(copies, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(copies[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))


def _marks(source: Source, progress: Callable[[int, int], None] | None = None) -> tuple[Int64, UInt8]:
    """Digests (n,), and what is compared of each image (n, SIDE, SIDE), zeros where that is nothing."""
    n, own = len(source), source.fingerprint()
    digests, small = np.zeros(n, dtype=np.int64), np.zeros((n, SIDE, SIDE), dtype=np.uint8)
    if source.together:
        digests[:] = [_eight_bytes(f"{own} {index}".encode()) for index in range(n)]
        return digests, small
    path = kept_at(f"marks {LEAST_SIDE} {own}")
    if kept := recall_arrays(path):
        return kept["digests"], kept["small"]
    if n >= _SLOW:
        log.info("%s: looking at %d images for copies, once", source.name, n)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for start in range(0, n, _CHUNK):
            chunk = range(start, min(start + _CHUNK, n))
            for index, mark in zip(chunk, pool.map(lambda i: _mark(source, i), chunk), strict=True):
                digests[index], small[index] = mark
            if progress is not None:
                progress(chunk.stop, n)
    remember_arrays(path, {"digests": digests, "small": small})
    return digests, small


def _mark(source: Source, index: int) -> tuple[int, UInt8 | int]:
    try:
        return mark_of(source.open(index))
    except ImageError:
        return 0, 0


def mark_of(image: Picture) -> tuple[int, UInt8 | int]:
    """An image's digest, and what is compared of it (SIDE, SIDE), 0 where that is nothing; raises ImageError."""
    digest, pixels = _eight_bytes(image.content), image.read(1, draft=(_DRAFT, _DRAFT))[:, :, 0]
    if min(image.size) < LEAST_SIDE:
        return digest, 0
    return digest, np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))


def _eight_bytes(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True) or 1


def exact_groups(marks: Int64) -> Int64:
    """Groups (n,) of images with the same mark; unreadable ones are like no other."""
    alone = np.arange(len(marks), dtype=np.int64)
    return np.unique(np.where(marks == 0, alone, marks), return_inverse=True)[1].astype(np.int64)


def connected(groups: Int64, pairs: Int64) -> Int64:
    """Groups (n,) joined where a pair of images (m, 2) lies in two of them."""
    from scipy.sparse import coo_matrix  # comes with scikit-learn
    from scipy.sparse.csgraph import connected_components

    a, b = groups[pairs].reshape(-1, 2).T
    size = int(groups.max(initial=-1)) + 1
    joined = coo_matrix((np.ones(len(a)), (a, b)), shape=(size, size))
    return connected_components(joined, directed=False)[1].astype(np.int64)[groups]


def kept_at(key: str) -> Path:
    """Where what is found under `key` is kept."""
    version = f"{__version__} Pillow {PIL.__version__} {key}"
    return cache_folder() / "copies" / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.npz"
