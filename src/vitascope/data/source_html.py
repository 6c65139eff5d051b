"""Sources and splits as a notebook shows them: their classes, how many images each has, and some of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from vitascope import notebook
from vitascope.data.images import UInt8
from vitascope.errors import ImageError
from vitascope.wording import count

_PICTURES, _ROWS = 8, 20
Counts = npt.NDArray[np.int64]


def source_html(
    name: str, classes: Sequence[str], labels: Sequence[Counts], counts: Counts, read: Callable[[int], UInt8]
) -> str:
    """An image of each of the first classes, and the number of images of all; `labels` as `Source.pairs` has them."""
    places, of = labels
    firsts = places[np.unique(of, return_index=True)[1]] if classes else places
    shown = []
    for place in firsts[:_PICTURES].tolist():
        names = (classes[label] for label in of[places == place].tolist() if classes)
        with suppress(ImageError):
            shown.append((read(place), ", ".join(names)))
    images = count(len(np.unique(places)), "image")
    told = f"{name}: {images}, {count(len(classes), 'class')}" if classes else f"{name}: {images} without labels"
    rows = [[name, f"{n:,}"] for name, n in zip(classes, counts.tolist(), strict=True)]
    return notebook.titled(
        told, notebook.pictures(shown), notebook.table(("class", "images"), _some(rows)) if rows else ""
    )


def splits_html(name: str, classes: Sequence[str], splits: Mapping[str, tuple[int, Counts]]) -> str:
    """How many images of each class, and in all, each split has."""
    rows = [[name, *(f"{counts[label]:,}" for _, counts in splits.values())] for label, name in enumerate(classes)]
    total = ["all", *(f"{images:,}" for images, _ in splits.values())]
    return notebook.titled(name, notebook.table(("class", *splits), [*_some(rows), total]))


def _some(rows: list[list[str]]) -> list[list[str]]:
    """The first of them, and how many more."""
    return rows if len(rows) <= _ROWS else [*rows[: _ROWS - 1], [f"… and {len(rows) - _ROWS + 1} more"]]
