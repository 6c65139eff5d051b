"""Read a whole data set once and say everything about it that a person would want to know before training."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.data.copies import find_copies
from vitascope.data.decode import Progress, decode_all
from vitascope.data.open import open_data
from vitascope.data.passed_over import grouped
from vitascope.data.remarks import DARK, Remarks
from vitascope.data.source import Source, Splits
from vitascope.errors import ImageError, UnlabelledError
from vitascope.wording import count, printable

TINY = 8
"""Pixels: an image whose shorter side is below this, in a data set of larger ones, is worth a look."""
EXTREME_ASPECT = 8.0
"""Longer side over shorter side from which a square crop shows little of an image."""
IMBALANCE = 10.0
"""Images of the largest class over those of the smallest from which accuracy alone misleads."""
_ALIKE = {"the same": "same pixels as", "near": "near copy of", "mirrored": "near copy, mirrored, of"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One doubtful thing."""

    kind: str
    """One of: unlabelled, unreadable, passed over, duplicate, conflict, copies, empty class, classes, splits, dark,
    damaged EXIF, not read, tiny, aspect, ignored, imbalance."""
    where: str
    """The item, class or split; a path where there is one."""
    what: str
    """What was found and what to do, in one line."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Findings of one kind."""

    severity: str
    """Problem or note."""
    kind: str
    """As of each."""
    findings: tuple[Finding, ...]
    """One or more."""


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """What one split holds."""

    images: int
    """How many there are, readable or not."""
    readable: int
    """How many could be decoded."""
    unreadable: tuple[int, ...]
    """Positions of those that could not be."""
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

    @property
    def verdict(self) -> str:
        """All of it in a line."""
        held = ", ".join(f"{name} {split.images:,}" for name, split in self.splits.items())
        images = sum(split.images for split in self.splits.values())
        text = f"{count(images, 'image')} of {count(len(self.classes), 'class')} ({held})"
        if not self.problems:
            return f"{text}: no problems found"
        return f"{text}: {count(len(self.problems), 'problem')} to mend, or figures mislead"

    @property
    def groups(self) -> list[Group]:
        """Problems, then notes, those of a kind together."""
        told = []
        for severity, findings in (("problem", self.problems), ("note", self.notes)):
            kinds: dict[str, list[Finding]] = {}
            for finding in findings:
                kinds.setdefault(finding.kind, []).append(finding)
            told += [Group(severity=severity, kind=kind, findings=tuple(each)) for kind, each in kinds.items()]
        return told

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, lists, numbers and texts."""
        return dataclasses.asdict(self)


class _Findings:
    """What is gathered while reading: problems, and notes of what is no problem."""

    def __init__(self) -> None:
        self.problems: list[Finding] = []
        self.notes: list[Finding] = []

    def add(self, is_problem: bool, kind: str, where: str, what: str) -> None:
        (self.problems if is_problem else self.notes).append(Finding(kind=kind, where=printable(where), what=what))


def check_data(
    data: Splits | str | Path,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int | None = None,
    until: float = math.inf,
) -> Report:
    """Decode every image of `data` (splits, or what open_data takes) with a few threads → Report.

    Finds unreadable images, copies and near copies within and between splits and under two labels, empty and
    unbalanced classes, tiny and very long images, 16-bit images that come out nearly black, files passed over.
    `progress(split, done, total)` is called as reading goes on; from `until` on, by `time.monotonic`, no further image
    is decoded in full, and a note says so; copies are looked for among all. Raises DataError where the data cannot be
    opened.
    """
    named = "data" if isinstance(data, Splits) else str(data)
    found = _Findings()
    splits = data if isinstance(data, Splits) else _opened(str(data), found)
    reports: dict[str, SplitReport] = {}
    for name, source in splits.present().items():
        tick = partial(progress, name) if progress is not None else lambda done, total: None
        reports[name] = _read_split(name, source, found, tick, workers, until)
    _duplicates(splits, found)
    if splits.train is None:
        said = f"no train split, only {', '.join(reports) or 'none'}; nothing can be trained on it"
        found.add(False, "splits", named, said)
    elif len(reports) == 1:
        said = "only a train split; training has to hold some of it out to measure anything"
        found.add(False, "splits", named, said)
    if len(splits.classes) == 1:
        found.add(True, "classes", named, f"one class only ({printable(splits.classes[0])}), expected two or more")
    return Report(
        data=named,
        classes=splits.classes,
        splits=reports,
        problems=tuple(found.problems),
        notes=tuple(found.notes),
    )


def _opened(data: str, found: _Findings) -> Splits:
    try:
        return open_data(data)
    except UnlabelledError as error:
        splits = open_data(data, labels=False)  # whose own error says what else there is
        found.add(False, "unlabelled", data, str(error))
        return splits


def _read_split(
    split: str, source: Source, found: _Findings, tick: Progress, workers: int | None, until: float
) -> SplitReport:
    shapes: dict[int, tuple[int, int]] = {}
    remarks, unreadable = Remarks(), list[int]()
    for index, image in enumerate(decode_all(source, workers=workers, remarks=remarks)):
        tick(index + 1, len(source))
        if time.monotonic() > until and index:
            said = f"{index:,} of {len(source):,} images were read in the time; `vitascope check` reads all"
            found.add(False, "not read", split, said)
            break
        if isinstance(image, ImageError):
            found.add(True, "unreadable", source.describe(index), str(image))
            unreadable.append(index)
        else:
            shapes[index] = image.shape[:2]
    sizes = np.array(list(shapes.values()), dtype=np.int64).reshape(-1, 2)
    typical = np.median(sizes.min(axis=1)) if len(sizes) else 0
    for index, (height, width) in shapes.items():
        if min(height, width) < TINY <= typical:
            found.add(False, "tiny", source.describe(index), f"{width}×{height} pixels; is it meant to be there?")
        elif max(height, width) >= EXTREME_ASPECT * min(height, width):
            said = f"{width}×{height} pixels; a square crop shows little of it"
            found.add(False, "aspect", source.describe(index), said)
    counts = source.counts()
    _class_findings(split, source, counts, found)
    for kind, told in remarks.told().items():
        found.add(kind == DARK, kind, remarks.first[kind], told)
    for group in grouped(source.ignored):
        kind, said = ("passed over", f"; {group.remedy}") if group.remedy else ("ignored", ", passed over")
        found.add(bool(group.remedy), kind, group.first, f"{group.count:,} {group.kind}{said}")
    common = Counter(f"{width}×{height}" for height, width in shapes.values())
    return SplitReport(
        images=len(source),
        readable=len(shapes),
        unreadable=tuple(unreadable),
        per_class=dict(zip(source.classes, counts.tolist(), strict=True)),
        heights=_spread(sizes[:, 0]),
        widths=_spread(sizes[:, 1]),
        sizes=dict(sorted(common.items(), key=lambda item: (-item[1], item[0]))[:10]),
    )


def _class_findings(split: str, source: Source, counts: np.ndarray, found: _Findings) -> None:
    for label in np.flatnonzero(counts == 0):
        name = source.classes[label]
        lost = source.lost.get(name)
        why = f" can be read; {lost}" if lost else ", expected some; add images or remove the class"
        found.add(split == "train", "empty class", name, f"no images in {split}{why}")
    filled = np.flatnonzero(counts)
    if len(filled) and counts.max() >= IMBALANCE * counts[filled].min():
        most, least = int(counts.argmax()), int(filled[counts[filled].argmin()])
        largest, smallest = (printable(source.classes[label]) for label in (most, least))
        said = f"{counts[most]} images of {largest}, {counts[least]} of {smallest}; look at the accuracy per class"
        found.add(False, "imbalance", split, said)


def _duplicates(splits: Splits, found: _Findings) -> None:
    """Copies and near copies: a problem between splits (the measurement is flattered) or under two labels."""
    present = splits.present()
    copies = find_copies(present.values())
    together = copies.found(splits)
    for group in together:
        where = [printable(present[split].describe(index)) for split, index in group.items]
        others = ", ".join(where[1:4]) + (f" and {len(where) - 4} more" if len(where) > 4 else "")
        alike = f"{_ALIKE[group.kind]} {others}"
        if len(group.classes) > 1:
            names = " and ".join(map(printable, group.classes))
            # Left and right may be what the classes tell apart.
            remedy = "are sides what they tell apart?" if group.kind == "mirrored" else "keep one label"
            found.add(group.kind != "mirrored", "conflict", where[0], f"{alike}, under {names}; {remedy}")
        else:
            crosses = len(group.splits) > 1
            found.add(crosses, "duplicate", where[0], alike + ", in another split; remove one" * crosses)
    if together:
        said = f"{sum(len(group.items) for group in together)} images are in {count(len(together), 'group')} of copies"
        found.add(False, "copies", "all splits", f"{said}; a hold-out keeps each whole")
    if copies.limits:
        found.add(False, "copies", "all splits", copies.limits)


def _spread(values: np.ndarray) -> tuple[int, int, int] | None:
    return (int(values.min()), int(np.median(values)), int(values.max())) if len(values) else None
