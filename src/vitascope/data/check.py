"""Read a whole data set once and say everything about it that a person would want to know before training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.data.copies import find_copies, groups
from vitascope.data.memory import Progress, decode_all
from vitascope.data.open import open_data
from vitascope.data.passed_over import grouped
from vitascope.data.remarks import DARK, Remarks
from vitascope.data.source import Source, Splits
from vitascope.errors import ImageError
from vitascope.wording import count, printable

TINY = 8
"""Pixels: an image whose shorter side is below this, in a data set of larger ones, is worth a look."""
EXTREME_ASPECT = 8.0
"""Longer side over shorter side from which a square crop shows little of an image."""
IMBALANCE = 10.0
"""Images of the largest class over those of the smallest from which accuracy alone misleads."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One doubtful thing."""

    kind: str
    """One of: unreadable, passed over, duplicate, conflict, copies, empty class, classes, splits, dark, damaged EXIF,
    tiny, aspect, ignored, imbalance."""
    where: str
    """The item, class or split; a path where there is one."""
    what: str
    """What was found and what to do, in one line."""


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """What one split holds."""

    images: int
    """How many there are, readable or not."""
    readable: int
    """How many could be decoded."""
    per_class: dict[str, int]
    """Class name → images."""
    heights: tuple[int, int, int] | None
    """(smallest, median, largest), pixels; None without a readable image."""
    widths: tuple[int, int, int] | None
    """Likewise."""
    sizes: dict[str, int]
    """The ten most frequent sizes, "width×height" → images."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `vitascope check` says."""

    data: str
    """What was checked."""
    classes: tuple[str, ...]
    """In label order."""
    splits: dict[str, SplitReport]
    """By split name."""
    problems: tuple[Finding, ...]
    """What spoils training or its measurement and should be mended."""
    notes: tuple[Finding, ...]
    """What is worth knowing."""

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, lists, numbers and texts."""
        return dataclasses.asdict(self)


@dataclass
class _Notebook:
    """What is gathered while reading."""

    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def problem(self, kind: str, where: str, what: str) -> None:
        self.problems.append(Finding(kind=kind, where=printable(where), what=what))

    def note(self, kind: str, where: str, what: str) -> None:
        self.notes.append(Finding(kind=kind, where=printable(where), what=what))


def check_data(
    data: Splits | str | Path,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int | None = None,
) -> Report:
    """Decode every image of `data` (splits, or what open_data takes) with a few threads → Report.

    Finds unreadable images, copies and near copies within and between splits and under two labels, empty and
    unbalanced classes, tiny and very long images, 16-bit images that come out nearly black, files passed over.
    `progress(split, done, total)` is called as reading goes on. Raises DataError where the data cannot be opened.
    """
    named = "data" if isinstance(data, Splits) else str(data)
    splits = data if isinstance(data, Splits) else open_data(str(data))
    book = _Notebook()
    reports: dict[str, SplitReport] = {}
    for name, source in splits.present().items():
        tick = partial(progress, name) if progress is not None else None
        reports[name] = _read_split(name, source, book, tick, workers)
    _duplicates(splits, book)
    if splits.train is None:
        book.note("splits", named, f"no train split, only {', '.join(reports) or 'none'}; nothing can be trained on it")
    elif len(reports) == 1:
        book.note("splits", named, "only a train split; training has to hold some of it out to measure anything")
    if len(splits.classes) == 1:
        book.problem("classes", named, f"one class only ({printable(splits.classes[0])}), expected two or more")
    return Report(
        data=named,
        classes=splits.classes,
        splits=reports,
        problems=tuple(book.problems),
        notes=tuple(book.notes),
    )


def _read_split(split: str, source: Source, book: _Notebook, tick: Progress | None, workers: int | None) -> SplitReport:
    shapes: list[tuple[int, int]] = []
    doubtful: list[tuple[int, int, int]] = []
    remarks = Remarks()
    for index, image in enumerate(decode_all(source, workers=workers, remarks=remarks)):
        if tick is not None:
            tick(index + 1, len(source))
        if isinstance(image, ImageError):
            book.problem("unreadable", source.describe(index), str(image))
            continue
        height, width = image.shape[:2]
        shapes.append((height, width))
        if min(height, width) < TINY or max(height, width) >= EXTREME_ASPECT * min(height, width):
            doubtful.append((index, height, width))
    sizes = np.array(shapes, dtype=np.int64).reshape(-1, 2)
    typical = int(np.median(sizes.min(axis=1))) if len(sizes) else 0
    for index, height, width in doubtful:
        if min(height, width) < TINY <= typical:
            book.note("tiny", source.describe(index), f"{width}×{height} pixels; is it meant to be there?")
        elif max(height, width) >= EXTREME_ASPECT * min(height, width):
            book.note("aspect", source.describe(index), f"{width}×{height} pixels; a square crop shows little of it")
    counts = np.bincount(source.labels, minlength=len(source.classes))
    _class_findings(split, source, counts, book)
    for kind, told in remarks.told(len(source)).items():
        (book.problem if kind == DARK else book.note)(kind, remarks.first[kind], told)
    for group in grouped(source.ignored):
        if group.remedy:
            book.problem("passed over", group.first, f"{group.count:,} {group.kind}; {group.remedy}")
        else:
            book.note("ignored", group.first, f"{group.count:,} {group.kind}, passed over")
    common: dict[str, int] = {}
    for height, width in shapes:
        common[f"{width}×{height}"] = common.get(f"{width}×{height}", 0) + 1
    return SplitReport(
        images=len(source),
        readable=len(shapes),
        per_class={name: int(count) for name, count in zip(source.classes, counts, strict=True)},
        heights=_spread(sizes[:, 0]),
        widths=_spread(sizes[:, 1]),
        sizes=dict(sorted(common.items(), key=lambda item: (-item[1], item[0]))[:10]),
    )


def _class_findings(split: str, source: Source, counts: np.ndarray, book: _Notebook) -> None:
    for label in np.flatnonzero(counts == 0):
        what = f"no images in {split}, expected some; add images or remove the class"
        if lost := source.lost.get(source.classes[label]):
            what = f"no images in {split} can be read; {lost}"
        if split == "train":
            book.problem("empty class", source.classes[label], what)
        else:
            book.note("empty class", source.classes[label], what)
    filled = counts[counts > 0]
    if len(filled) and filled.max() >= IMBALANCE * filled.min():
        largest, smallest = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max() + 1).argmin())
        book.note(
            "imbalance",
            split,
            f"{counts[largest]} images of {printable(source.classes[largest])}, {counts[smallest]} of "
            f"{printable(source.classes[smallest])}; look at the accuracy per class",
        )


def _duplicates(splits: Splits, book: _Notebook) -> None:
    """Copies and near copies: a problem between splits (the measurement is flattered) or under two labels."""
    present = splits.present()
    copies = find_copies(present.values())
    places = [(split, index) for split, source in present.items() for index in range(len(source))]
    nothing = np.zeros(0, dtype=np.int64)
    exact, near = (
        np.concatenate([nothing, *(copies.of(source, exact=same) for source in present.values())])
        for same in (True, False)
    )
    found = groups(near)
    for group in found:
        where = [printable(present[places[i][0]].describe(places[i][1])) for i in group]
        labels = {int(present[places[i][0]].labels[places[i][1]]) for i in group}
        others = ", ".join(where[1:4]) + (f" and {len(where) - 4} more" if len(where) > 4 else "")
        alike = f"{'same pixels as' if len(set(exact[group].tolist())) == 1 else 'near copy of'} {others}"
        if len(labels) > 1:
            names = " and ".join(printable(splits.classes[label]) for label in sorted(labels))
            book.problem("conflict", where[0], f"{alike}, under {names}; keep one label")
        elif len({places[i][0] for i in group}) > 1:
            book.problem("duplicate", where[0], f"{alike}, in another split; remove one")
        else:
            book.note("duplicate", where[0], alike)
    if found:
        n = sum(map(len, found))
        said = f"{n} images are in {count(len(found), 'group')} of copies; a hold-out keeps each whole"
        book.note("copies", "all splits", said)
    if copies.limits:
        book.note("copies", "all splits", copies.limits)


def _spread(values: np.ndarray) -> tuple[int, int, int] | None:
    return (int(values.min()), int(np.median(values)), int(values.max())) if len(values) else None
