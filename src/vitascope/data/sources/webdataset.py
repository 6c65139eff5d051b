"""WebDataset tar shards as an indexable source: KEY.jpg beside KEY.cls (or KEY.json) in plain tar files.

The headers are read once to note where each image lies; an image is then one seek and one read. Shards need not be
read in order, so that shuffling and resuming are exact, as with every other source.
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vitascope.data.fingerprint import joined, named_size, stamp
from vitascope.data.formats import HEIC, HEIC_REMEDY, UNREAD
from vitascope.data.source import EncodedSource, Int64, Labels, Source, Splits, name_of_split, split_of_name
from vitascope.data.sources.classes import names_in_file, number_labels
from vitascope.data.sources.shard import Sample, index_shard
from vitascope.errors import DataError, ImageError
from vitascope.wording import printable, reason, some

log = logging.getLogger(__name__)

_MOST_SHARDS = 100_000
_LARGEST_IMAGE = 1 << 30  # bytes, encoded


@dataclass(frozen=True, eq=False)
class TarSource(EncodedSource):
    """Encoded images inside uncompressed tar files."""

    shards: tuple[str, ...]
    """The tar files."""
    keys: tuple[str, ...] = field(repr=False)
    """(n,) member names of the images."""
    places: Int64 = field(repr=False)
    """(n, 3) int64: shard, offset of the image's bytes, their number."""

    def encoded(self, index: int) -> bytes:
        shard, offset, size = (int(value) for value in self.places[index])
        if size > _LARGEST_IMAGE:
            raise ImageError(f"{printable(self.describe(index))}: {size} bytes, expected an image file; remove it")
        try:
            with open(self.shards[shard], "rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise ImageError(f"{printable(self.describe(index))}: {reason(error)}; check the file") from None

    def describe(self, index: int) -> str:
        return f"{self.shards[int(self.places[index, 0])]}:{self.keys[index]}"

    def path(self, index: int) -> str:
        return self.keys[index]

    def identity(self) -> Iterable[bytes]:
        yield joined([*map(stamp, self.shards), self.places.tobytes().hex()]).encode()

    def parts(self) -> list[str]:
        return [*map(named_size, self.shards), *self.keys, self.places.tobytes().hex()]


def open_webdataset(spec: str) -> Splits:
    """A tar file, a folder of them, or a pattern (`*`, `?`, `[…]`, `{000..009}`) → the splits their names speak of.

    Labels: whole numbers or names in KEY.cls, or KEY.json holding one or an object with "label" or "cls". Whole
    numbers are called after the lines of classes.txt beside the shards, where there is one; names are sorted.
    Raises DataError for compressed shards, images without a label, or labels of both kinds.
    """
    return _opened(spec, labelled=True)


def open_images(spec: str) -> Splits:
    """The same without labels, of which there need not be any."""
    return _opened(spec, labelled=False)


def _opened(spec: str, *, labelled: bool) -> Splits:
    shown = printable(spec)
    shards: dict[str, list[str]] = {}
    for file in _shards(spec):
        shards.setdefault(split_of_name(os.path.basename(file)) or "train", []).append(file)
    found: dict[str, list[Sample]] = {}
    passed_over, lonely = Counter[str](), set[int | str]()
    for split, files in shards.items():
        found[split] = [
            sample
            for number, file in enumerate(files)
            for sample in index_shard(file, number, passed_over, lonely, labelled=labelled)
        ]
        if not found[split]:
            wanted = "KEY.jpg and KEY.cls" if labelled else "files such as KEY.jpg"
            raise DataError(f"{shown}: no images in the {split} shards, expected {wanted}; check them")
    if passed_over:
        listed = some([f"{kind} {count}" for kind, count in passed_over.most_common()], most=5)
        remedy = f"; {HEIC_REMEDY}" if any(UNREAD.get(kind) == HEIC for kind in passed_over) else ""
        said = "%s: %d members passed over, no images and no labels: %s%s"
        log.warning(said, shown, passed_over.total(), listed, remedy)
    given = {split: [sample.label for sample in samples] for split, samples in found.items()}
    if not labelled:
        classes: tuple[str, ...] = ()
        labels: dict[str, Labels] = {split: np.array(zeros, dtype=np.int64) for split, zeros in given.items()}
    else:
        names = names_in_file(Path(next(iter(shards.values()))[0]).parent / "classes.txt")
        classes, labels = number_labels(given, names, shown, "mend them or classes.txt")
        if lost := lonely.difference(*given.values()):
            log.warning("%s: no image is left of label %s", shown, some(sorted(map(str, lost)), most=5))
    base = re.sub(r"[-_.]*\d*([{*?\[].*)?\.tar$", "", os.path.basename(spec.rstrip("/\\"))) or "shards"
    sources: dict[str, Source] = {}
    for split, samples in found.items():
        keys = tuple(sample.name for sample in samples)
        places = np.array([sample.place for sample in samples], dtype=np.int64)
        name = name_of_split(base, split)
        sources[split] = TarSource(name, classes, labels[split], tuple(shards[split]), keys, places)
    return Splits(**sources)


def _shards(spec: str) -> list[str]:
    if os.path.isdir(spec):
        paths = sorted(str(path) for path in Path(spec).glob("*.tar"))
    elif os.path.exists(spec):
        paths = [spec]
    else:
        found = (sorted(glob.glob(p)) if glob.has_magic(p) else [p] for p in _braces(spec))
        paths = list(dict.fromkeys(path for matched in found for path in matched))
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing or not paths:
        raise DataError(f"{printable((missing or [spec])[0])}: no such tar file; check the path or the pattern")
    return paths


def _braces(pattern: str) -> list[str]:
    """a-{08..10} → a-08, a-09, a-10; {x,y} likewise; several braces multiply."""
    head, *rest = re.split(r"\{([^{}]*)\}", pattern)
    made = [head]
    for braces, between in zip(rest[::2], rest[1::2], strict=True):
        choices = braces.split(",")
        if span := re.fullmatch(r"(\d+)\.\.(\d+)", braces):
            low, high = int(span[1]), int(span[2])
            if high < low:
                raise DataError(f"{printable(pattern)}: {{{braces}}}, expected {{FIRST..LAST}} in rising order")
            choices = [str(number).zfill(len(span[1])) for number in range(low, min(high, low + _MOST_SHARDS) + 1)]
        if len(made) * len(choices) > _MOST_SHARDS:
            raise DataError(f"{printable(pattern)}: more than {_MOST_SHARDS} files; name fewer")
        made = [start + choice + between for start in made for choice in choices]
    return made
