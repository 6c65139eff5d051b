"""What a data set is here: an indexable, deterministic list of decoded images with labels, in up to three splits."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitascope.data.fingerprint import joined
from vitascope.data.images import UInt8, read_image
from vitascope.data.picture import Picture, open_image
from vitascope.data.source_html import source_html, splits_html
from vitascope.errors import DataError
from vitascope.wording import printable, some

Int64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64 | np.bool_]
"""(n,) int64, the label of each image; or (n, K) bool, which of the K labels it has, where there may be several."""

_SPLITS = {
    "train": ("train", "training", "trainset"),
    "validation": ("val", "valid", "validation", "valset", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "testset"),
}
_SPLIT_WORDS = {word: split for split, words in _SPLITS.items() for word in words}


class Source(ABC):
    """One split: map-style, deterministic, picklable (loader workers are forked or spawned).

    A kind of data has these fields and `__getitem__`; it overrides of the rest what it does better.
    """

    name: str
    """For people: "cifar10 train"."""
    classes: tuple[str, ...]
    """Label i is classes[i]; the order does not depend on the file system. None where nothing is labelled."""
    labels: Labels
    """(n,) int64, each in 0 … len(classes) − 1, or all 0 where there are no classes; known without decoding. Where an
    image may have several labels or none, (n, K) bool."""
    together: bool = False
    """Whether `read_many` is faster than one by one, because images are generated and share most of the work."""
    kind: str = ""
    """How fingerprints call it, where that is not the class's name."""
    ignored: Sequence[str] = ()
    """Paths of what was passed over: litter, formats that are not read, files outside the class folders."""
    lost: Mapping[str, str] = {}
    """Classes all of whose images were passed over → what is said of them."""

    def __len__(self) -> int:
        """How many images."""
        return len(self.labels)

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.labels.ndim == 2

    def pairs(self) -> tuple[Int64, Int64]:
        """Everything that is said of an image: positions and labels, (m,) each, in the order of the images."""
        if not self.several:
            return np.arange(len(self), dtype=np.int64), self.labels.astype(np.int64, copy=False)
        images, labels = np.nonzero(self.labels)
        return images.astype(np.int64), labels.astype(np.int64)

    def counts(self) -> Int64:
        """Images of each class, (K,)."""
        return np.bincount(self.pairs()[1], minlength=len(self.classes))[: len(self.classes)].astype(np.int64)

    @abstractmethod
    def __getitem__(self, index: int, /) -> UInt8:
        """Decoded uint8 (H, W, 3), the caller's own to change; ImageError, naming the item, if it is unreadable."""

    def describe(self, index: int, /) -> str:
        """How messages name an item: its path, or "cifar10 train[17]"."""
        return f"{self.name}[{index}]"

    def path(self, index: int, /) -> str:
        """An item's name within the data: its path below the data's folder, where it has one."""
        return self.describe(index)

    def table_columns(self) -> tuple[str, ...]:
        """Names of the columns, where the data is a table."""
        return ()

    def table_column(self, name: str, /) -> Sequence[str] | None:
        """What the data's table has in a column for each image, "" for nothing; None without such a column."""
        return None

    def open(self, index: int, /) -> Picture:
        """An image to be looked at and not changed, where decoding may wait until a part is asked for."""
        return Picture(self[index])

    def read_many(self, indices: Sequence[int], /) -> Iterable[UInt8]:
        """The images of `indices`, the same as one by one; ImageError when it comes to an unreadable one."""
        return (self[index] for index in indices)

    def open_many(self, indices: Sequence[int], /) -> Iterable[Picture]:
        """The same as `open` gives them."""
        return map(Picture, self.read_many(indices)) if self.together else map(self.open, indices)

    def origin(self) -> tuple[Source, Int64]:
        """Where the images come from, however they were chosen or kept, and their positions there."""
        return self, np.arange(len(self), dtype=np.int64)

    def identity(self) -> Iterable[bytes | memoryview]:
        """What differs whenever an image or their order does: by default the pixels. Labels and names play no part.

        Files are told by path, size and time of change, encoded images by their bytes, others by what generates them.
        """
        for index in range(len(self)):
            image = self[index]
            yield f"{image.shape}".encode()
            yield np.ascontiguousarray(image).data

    def parts(self) -> list[str]:
        """Names and sizes of what holds the images, the same wherever that lies."""
        return [self.fingerprint()]

    def fingerprint(self) -> str:
        """64 hexadecimal digits that stand for every image and their order; raises ImageError."""
        digest = hashlib.sha256(f"{self.kind or type(self).__name__} {len(self)}\n".encode())
        for part in self.identity():
            digest.update(part)
        return digest.hexdigest()

    def _repr_html_(self) -> str:
        return source_html(self.name, self.classes, self.pairs(), self.counts(), self.__getitem__)

    def contents(self) -> str:
        """64 hexadecimal digits for the classes, labels and files: the same on another machine or disk.

        Files are told by their names below the source's folder and their sizes, so nothing is read. Raises ImageError
        where there are none, as `fingerprint` does.
        """
        labels = np.ascontiguousarray(self.labels, dtype=np.bool_ if self.several else np.int64).tobytes().hex()
        return joined([*self.classes, labels, *self.parts()])


@dataclass(frozen=True, eq=False)
class EncodedSource(Source):
    """Images that lie encoded in files, or in parts of them; nothing is opened until asked for."""

    name: str
    classes: tuple[str, ...]
    labels: Labels

    @abstractmethod
    def encoded(self, index: int, /) -> bytes | str:
        """An image's file, or its path. Raises ImageError."""

    def __getitem__(self, index: int) -> UInt8:
        image = self.encoded(index)
        return read_image(image, name=None if isinstance(image, str) else self.describe(index))

    def open(self, index: int) -> Picture:
        image = self.encoded(index)
        return open_image(image, name=None if isinstance(image, str) else self.describe(index))


class View(Source):
    """Items of another source, in the order of `indices` (n,), by default all; perhaps under other labels."""

    kind = "Subset"

    def __init__(
        self,
        source: Source,
        indices: Int64 | None = None,
        name: str | None = None,
        *,
        classes: tuple[str, ...] | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.source = source
        self.indices = np.arange(len(source), dtype=np.int64) if indices is None else indices
        self.name = source.name if name is None else name
        self.classes = source.classes if classes is None else classes
        self.labels = source.labels[self.indices] if labels is None else labels
        self._relabelled = labels is not None
        self.together = source.together

    def __getitem__(self, index: int) -> UInt8:
        return self.source[int(self.indices[index])]

    def describe(self, index: int) -> str:
        return self.source.describe(int(self.indices[index]))

    def open(self, index: int) -> Picture:
        return self.source.open(int(self.indices[index]))

    def read_many(self, indices: Sequence[int]) -> Iterable[UInt8]:
        if not self.together:
            return super().read_many(indices)
        return self.source.read_many(self.indices[list(indices)].tolist())

    def origin(self) -> tuple[Source, Int64]:
        origin, positions = self.source.origin()
        return origin, positions[self.indices]

    def identity(self) -> Iterable[bytes | memoryview]:
        yield self.source.fingerprint().encode()
        yield np.ascontiguousarray(self.indices, dtype=np.int64).data

    def contents(self) -> str:
        told = [self.source.contents(), np.ascontiguousarray(self.indices, dtype=np.int64).tobytes().hex()]
        return joined([*told, *self.classes, *map(str, self.labels.tolist())] if self._relabelled else told)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The parts of a data set; a part that the data does not have is None. All have the same classes in one order."""

    train: Source | None = None
    """What a model learns from."""
    validation: Source | None = None
    """What settings are chosen on."""
    test: Source | None = None
    """What is reported."""

    def __post_init__(self) -> None:
        parts = list(self.present().values())
        for other in parts[1:]:
            require_same_classes(parts[0], other)

    def present(self) -> dict[str, Source]:
        """The splits there are, in the order train, validation, test."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: source for name, source in named.items() if source is not None}

    def first(self, *names: str, least: int = 1) -> tuple[str, Source] | None:
        """The first of these splits that has so many images, by default of test, validation and train."""
        present = self.present()
        wanted = (name for name in names or ("test", "validation", "train") if len(present.get(name, ())) >= least)
        return next(((name, present[name]) for name in wanted), None)

    def unlabelled(self) -> Splits:
        """The same images without their labels."""
        bare = {
            name: source if not source.classes else without_labels(source) for name, source in self.present().items()
        }
        return Splits(**bare)

    def _repr_html_(self) -> str:
        present = self.present()
        name = ", ".join(source.name for source in present.values()) or "no images"
        return splits_html(name, self.classes, {part: (len(s), s.counts()) for part, s in present.items()})

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of every split; empty if there is none."""
        return next((source.classes for source in self.present().values()), ())


def without_labels(source: Source) -> View:
    """Its images, as if nobody had labelled them."""
    return View(source, classes=(), labels=np.zeros(len(source), dtype=np.int64))


def require_same_classes(first: Source, second: Source) -> None:
    """DataError listing the differences unless both have the same classes in the same order."""
    if first.classes == second.classes:
        return
    lacking = [name for name in first.classes if name not in set(second.classes)]
    extra = [name for name in second.classes if name not in set(first.classes)]
    differences = [f"{word}: {some(names)}" for word, names in (("lacks", lacking), ("has besides", extra)) if names]
    raise DataError(
        f"{printable(second.name)} and {printable(first.name)} have different classes, expected the same; "
        f"the former {'; '.join(differences) or 'has them in another order'}; rename, add or remove classes"
    )


def split_of_name(name: str) -> str | None:
    """Which split a file or folder name speaks of ("train-00000-of-00002" → "train"), None if none or several."""
    found = {_SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def name_of_split(data: str, split: str) -> str:
    """What people call a split of `data`: "cifar10 train", and "train" where that is the data's own name."""
    return data if split_of_name(data) == split else f"{data} {split}"
