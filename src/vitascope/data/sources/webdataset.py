"""WebDataset tar shards as an indexable source: KEY.jpg beside KEY.cls (or KEY.json) in plain tar files.

The headers are read once to note where each image lies; an image is then one seek and one read. Shards need not be
read in order, so that shuffling and resuming are exact, as with every other source.
"""

from __future__ import annotations

import glob
import json
import os
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vitascope.data.fingerprint import joined, stamp
from vitascope.data.formats import EXTENSIONS
from vitascope.data.images import UInt8, printable, read_image
from vitascope.data.jpeg import OpenJpeg, open_image
from vitascope.data.source import Int64, Source, Splits, split_of_name
from vitascope.errors import DataError, ImageError

_MOST_SHARDS = 100_000
_LABEL_BYTES = 1 << 20  # a label file larger than this is none


@dataclass(frozen=True, eq=False)
class TarSource:
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

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> UInt8:
        return read_image(self._file(index), name=self.describe(index))

    def open(self, index: int) -> UInt8 | OpenJpeg:
        """See `vitascope.data.source.open_many`."""
        return open_image(self._file(index), name=self.describe(index))

    def _file(self, index: int) -> bytes:
        shard, offset, size = (int(value) for value in self.places[index])
        try:
            with open(self.shards[shard], "rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise ImageError(f"{printable(self.describe(index))}: {error.strerror}; check the file") from None
        return data

    def describe(self, index: int) -> str:
        return f"{self.shards[int(self.places[index, 0])]}:{self.keys[index]}"

    def identity(self) -> str:
        """See `vitascope.data.fingerprint`."""
        return joined([*map(stamp, self.shards), self.places.tobytes().hex()])


@dataclass(frozen=True)
class _Found:
    """What the headers of one split's shards tell."""

    keys: list[str]
    places: list[tuple[int, int, int]]
    labels: list[int | str]


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
    found = {split: _index(files) for split, files in splits.items()}
    for split, part in found.items():
        if not part.keys:
            raise DataError(f"{shown}: no images in the {split} shards, expected KEY.jpg and KEY.cls; check them")
    kinds = {isinstance(label, str) for part in found.values() for label in part.labels}
    if len(kinds) > 1:
        raise DataError(f"{shown}: labels are partly names and partly whole numbers; make them alike")
    first = Path(splits[next(iter(splits))][0])
    names = _class_names(first.parent / "classes.txt")
    present = {label for part in found.values() for label in part.labels}
    numbers: dict[int | str, int]
    if kinds == {True}:
        classes = names or tuple(sorted(str(label) for label in present))
        numbers = {name: number for number, name in enumerate(classes)}
    else:
        highest = max(int(label) for label in present)
        classes = names or tuple(str(number) for number in range(highest + 1))
        numbers = {number: number for number in range(len(classes))}
    unknown = sorted(str(label) for label in present if label not in numbers)
    if unknown:
        raise DataError(f"{shown}: label {printable(unknown[0])} is not among {len(classes)} classes; mend classes.txt")
    base = re.sub(r"[-_.]*\d*([{*?\[].*)?\.tar$", "", os.path.basename(spec.rstrip("/\\"))) or "shards"
    sources: dict[str, Source] = {}
    for split, part in found.items():
        name = base if split_of_name(base) == split else f"{base} {split}"
        labels = np.array([numbers[label] for label in part.labels], dtype=np.int64)
        places = np.array(part.places, dtype=np.int64)
        sources[split] = TarSource(name, classes, labels, tuple(splits[split]), tuple(part.keys), places)
    return Splits(train=sources.get("train"), validation=sources.get("validation"), test=sources.get("test"))


def _index(files: list[str]) -> _Found:
    found = _Found([], [], [])
    for shard, path in enumerate(files):
        images: dict[str, tuple[str, int, int]] = {}
        labels: dict[str, int | str] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    folder, _, file = member.name.rpartition("/")
                    stem, _, ending = file.partition(".")
                    if not member.isreg() or not stem:
                        continue
                    key = f"{folder}/{stem}"
                    if "." + ending.lower() in EXTENSIONS:
                        if key in images:
                            raise DataError(
                                f"{printable(f'{path}:{member.name}')}: a second image of its key; remove one"
                            )
                        images[key] = (member.name, member.offset_data, member.size)
                    elif ending in ("cls", "json") and member.size <= _LABEL_BYTES:
                        content = tar.extractfile(member)
                        label = _label(content.read() if content else b"", ending)
                        if label is not None and (ending == "cls" or key not in labels):
                            labels[key] = label
        except (tarfile.TarError, OSError) as error:
            raise DataError(
                f"{printable(path)}: cannot be read as an uncompressed tar file ({printable(str(error))}); "
                "fetch it again, or unpack it with gunzip if it is compressed"
            ) from None
        for key, (member_name, offset, size) in images.items():
            if key not in labels:
                raise DataError(
                    f"{printable(f'{path}:{member_name}')}: no label, expected a .cls or .json file of the same key "
                    "that holds one; add it or remove the image"
                )
            found.keys.append(member_name)
            found.places.append((shard, offset, size))
            found.labels.append(labels[key])
    return found


def _label(content: bytes, ending: str) -> int | str | None:
    """A label file's content → a whole number ≥ 0 or a name; None where it holds neither."""
    try:
        text = content.decode("utf-8").strip()
        value = json.loads(text) if ending == "json" else text
    except ValueError:
        return None
    if isinstance(value, dict):
        value = value.get("label", value.get("cls"))
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else value or None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


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
    return [head + choice + rest for rest in _braces(tail) for choice in choices]


def _class_names(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(str(path))}: cannot be read ({printable(str(error))}); check it") from None
    if not names or len(set(names)) < len(names):
        raise DataError(f"{printable(str(path))}: empty or with a name twice, expected one class a line; mend it")
    return tuple(names)
