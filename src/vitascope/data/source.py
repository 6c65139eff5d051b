"""What a data set is here: an indexable, deterministic list of decoded images with labels, in up to three splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vitascope.data.images import UInt8
from vitascope.data.jpeg import OpenJpeg
from vitascope.errors import ConfigError, DataError
from vitascope.streams import Stream, generator
from vitascope.wording import printable, some

Int64 = npt.NDArray[np.int64]

_SPLIT_WORDS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "valset": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "testset": "test",
}


class Source(Protocol):
    """One split: map-style, deterministic, picklable (loader workers are forked or spawned)."""

    @property
    def name(self) -> str:
        """For people: "cifar10 train"."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Label i is classes[i]; the order does not depend on the file system."""

    @property
    def labels(self) -> Int64:
        """(n,) int64, each in 0 … len(classes) − 1; known without decoding anything."""

    def __len__(self) -> int:
        """How many images."""

    def __getitem__(self, index: int, /) -> UInt8:
        """Decoded uint8 (H, W, 3), the caller's own to change; ImageError, naming the item, if it is unreadable."""

    def describe(self, index: int, /) -> str:
        """How messages name an item: its path, or "cifar10 train[17]"."""


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

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of every split; empty if there is none."""
        return next((source.classes for source in self.present().values()), ())


@dataclass(frozen=True, eq=False)
class Subset:
    """Some items of another source, in the order of `indices`."""

    source: Source
    """Where the items come from."""
    indices: Int64
    """(n,) positions in `source`."""
    name: str
    """For people."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    @property
    def labels(self) -> Int64:
        return self.source.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> UInt8:
        return self.source[int(self.indices[index])]

    def describe(self, index: int) -> str:
        return self.source.describe(int(self.indices[index]))


def makes_many(source: Source) -> bool:
    """Whether `read_many` is faster than one by one: generated images share most of the work."""
    return makes_many(source.source) if isinstance(source, Subset) else hasattr(source, "render")


def read_many(source: Source, indices: Sequence[int]) -> Iterable[UInt8]:
    """The images of `indices`, the same as one by one; raises ImageError when it comes to an unreadable one."""
    if isinstance(source, Subset):
        return read_many(source.source, source.indices[list(indices)].tolist())
    render = getattr(source, "render", None)
    return render(indices) if render is not None else (source[index] for index in indices)


def open_many(source: Source, indices: Sequence[int]) -> Iterable[UInt8 | OpenJpeg]:
    """The images of `indices` to be looked at and not changed, where decoding may wait until a part is asked for.

    A source that has more to offer than `__getitem__` says so by `open(index)`.
    """
    if isinstance(source, Subset):
        return open_many(source.source, source.indices[list(indices)].tolist())
    opener = getattr(source, "open", None)
    return read_many(source, indices) if opener is None else (opener(index) for index in indices)


def original(source: Source) -> tuple[Source, Int64]:
    """Where a source's images come from, however they were chosen or kept, and their positions there."""
    positions = np.arange(len(source), dtype=np.int64)
    while (inner := getattr(source, "source", None)) is not None:
        positions = source.indices[positions] if isinstance(source, Subset) else positions
        source = inner
    return source, positions


def stratified_holdout(
    source: Source, fraction: float, seed: int, copies: Int64 | None = None
) -> tuple[Subset, Subset]:
    """Split off about `fraction` of every class → (rest, held out); the same for the same source, fraction and seed.

    Images of one number in `copies` (n,) stay on one side. A class of two or more, not all copies of one another, keeps
    at least one on each side; any other stays in the rest. Raises ConfigError unless 0 < fraction < 1, DataError where
    nothing can be held out.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"hold-out fraction {fraction}, expected between 0 and 1; try 0.1")
    labels = source.labels
    counts = np.bincount(labels, minlength=len(source.classes))
    wanted = np.minimum(np.maximum(np.round(fraction * counts).astype(np.int64), 1), counts - 1)
    units = np.arange(len(labels)) if copies is None else np.unique(copies, return_inverse=True)[1]
    together, ends = np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))
    held, taken = np.zeros(len(labels), dtype=bool), np.zeros_like(counts)

    def take(unit: int, most: Int64) -> None:
        members = together[ends[unit - 1] if unit else 0 : ends[unit]]
        classes, found = np.unique(labels[members], return_counts=True)
        if not held[members[0]] and (taken[classes] + found <= most[classes]).all():
            held[members] = True
            taken[classes] += found

    # Seeded per class, so that adding a class does not move the images of another.
    orders = {
        label: units[generator(Stream.HOLDOUT, seed, label).permutation(np.flatnonzero(labels == label))]
        for label in np.unique(labels).tolist()
    }
    for label, order in orders.items():
        for unit in order:
            if taken[label] < wanted[label]:
                take(unit, wanted)
    for label, order in orders.items():  # of a class of groups that are all too large, the smallest
        for unit in sorted(order, key=np.bincount(units).__getitem__) if not taken[label] else ():
            if not taken[label]:
                take(unit, counts - 1)
    if not held.any():
        raise DataError(
            f"{printable(source.name)}: {len(source)} images, no class has two different ones, so none can be held "
            "out; add images"
        )
    rest, chosen = (np.flatnonzero(side) for side in (~held, held))
    return Subset(source, rest, f"{source.name} (rest)"), Subset(source, chosen, f"{source.name} (held out)")


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
