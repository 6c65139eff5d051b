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
from vitascope.data.source import EncodedSource, Int64, Source, Splits, split_of_name
from vitascope.data.sources.classes import number_labels
from vitascope.data.sources.shard import Found, index_shards
from vitascope.errors import DataError, ImageError
from vitascope.wording import printable, reason, some

log = logging.getLogger(__name__)

_MOST_SHARDS = 100_000
_LARGEST_IMAGE = 1 << 30  # bytes, encoded


@dataclass(frozen=True, eq=False)
class TarSource(EncodedSource):
    """Encoded images inside uncompressed tar files."""

    name: str
    """For people."""
    classes: tuple[str, ...]
    """Label i is classes[i]."""
    labels: Int64
    """(n,) int64."""
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
                data = file.read(size)
        except OSError as error:
            raise ImageError(f"{printable(self.describe(index))}: {reason(error)}; check the file") from None
        return data

    def describe(self, index: int) -> str:
        return f"{self.shards[int(self.places[index, 0])]}:{self.keys[index]}"

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
    shown = printable(spec)
    splits: dict[str, list[str]] = {}
    for file in _shards(spec):
        splits.setdefault(split_of_name(os.path.basename(file)) or "train", []).append(file)
    found = {split: index_shards(files) for split, files in splits.items()}
    for split, part in found.items():
        if not part.keys:
            raise DataError(f"{shown}: no images in the {split} shards, expected KEY.jpg and KEY.cls; check them")
    names = _class_names(Path(splits[next(iter(splits))][0]).parent / "classes.txt")
    classes, labels = number_labels(
        {split: part.labels for split, part in found.items()}, names, shown, "mend them or classes.txt"
    )
    _say_what_is_passed_over(list(found.values()), shown)
    base = re.sub(r"[-_.]*\d*([{*?\[].*)?\.tar$", "", os.path.basename(spec.rstrip("/\\"))) or "shards"
    sources: dict[str, Source] = {}
    for split, part in found.items():
        name = base if split_of_name(base) == split else f"{base} {split}"
        places = np.array(part.places, dtype=np.int64)
        sources[split] = TarSource(name, classes, labels[split], tuple(splits[split]), tuple(part.keys), places)
    return Splits(**sources)


def _say_what_is_passed_over(found: list[Found], shown: str) -> None:
    kinds = sum((part.passed_over for part in found), Counter[str]())
    if kinds:
        listed = some([f"{kind} {count}" for kind, count in kinds.most_common()], most=5)
        remedy = f"; {HEIC_REMEDY}" if any(UNREAD.get(kind) == HEIC for kind in kinds) else ""
        log.warning("%s: %d members passed over, no images and no labels: %s%s", shown, kinds.total(), listed, remedy)
    lost = {label for part in found for label in part.lonely} - {label for part in found for label in part.labels}
    if lost:
        log.warning("%s: no image is left of label %s", shown, some(sorted(str(label) for label in lost), most=5))


def _shards(spec: str) -> list[str]:
    if os.path.isdir(spec):
        paths = sorted(str(path) for path in Path(spec).glob("*.tar"))
    elif os.path.exists(spec):
        paths = [spec]
    else:
        paths = []
        for pattern in _braces(spec):
            matched = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
            paths += [path for path in matched if path not in paths]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing or not paths:
        raise DataError(f"{printable((missing or [spec])[0])}: no such tar file; check the path or the pattern")
    return paths


def _braces(pattern: str) -> list[str]:
    """a-{08..10} → a-08, a-09, a-10; {x,y} likewise; several braces multiply."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if span is None:
        choices = match[1].split(",")
    else:
        low, high = int(span[1]), int(span[2])
        if not 0 <= high - low < _MOST_SHARDS:
            raise DataError(f"{printable(pattern)}: {match[0]}, expected {{FIRST..LAST}} in rising order; mend it")
        choices = [str(number).zfill(len(span[1])) for number in range(low, high + 1)]
    head, tail = pattern[: match.start()], pattern[match.end() :]
    rests = _braces(tail)
    if len(rests) * len(choices) > _MOST_SHARDS:
        raise DataError(f"{printable(pattern)}: more than {_MOST_SHARDS} files; name fewer")
    return [head + choice + rest for rest in rests for choice in choices]


def _class_names(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(str(path))}: cannot be read ({reason(error)}); check it") from None
    if not names or len(set(names)) < len(names):
        raise DataError(f"{printable(str(path))}: empty or with a name twice, expected one class a line; mend it")
    return tuple(names)
