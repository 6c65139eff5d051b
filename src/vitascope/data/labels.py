"""Labels of images, one each or several: as one kind or the other, under other numbers, as people call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from vitascope.data.source import Int64, Labels, Source
from vitascope.errors import DataError
from vitascope.wording import printable


def single_labels(source: Source, what: str = "this") -> Int64:
    """The labels (n,) of images that have one each; DataError where there may be several, of which `what` knows not."""
    if source.several:
        raise DataError(
            f"{printable(source.name)} has images with several labels, and {what} is for one label an image; "
            "teach, finetune, pretrain, evaluate and check take several"
        )
    return source.labels.astype(np.int64, copy=False)


def indicator(labels: Labels, classes: int) -> npt.NDArray[np.bool_]:
    """Which labels each image has, (n, K)."""
    has: npt.NDArray[np.bool_] = labels.astype(np.bool_) if labels.ndim == 2 else labels[:, None] == np.arange(classes)
    return has


def renumbered(labels: Labels, places: Int64, classes: int) -> Labels:
    """`labels` of classes that have other numbers now, `places` (K,), among so many `classes`."""
    if labels.ndim == 1:
        moved: Labels = places[labels]
        return moved
    has = np.zeros((len(labels), classes), dtype=np.bool_)
    has[:, places] = labels
    return has


def label_sets(labels: Labels) -> list[tuple[int, ...]]:
    """The labels of each image, in their order."""
    if labels.ndim == 1:
        return [(label,) for label in labels.tolist()]
    return [tuple(np.flatnonzero(has).tolist()) for has in labels]


def set_name(labels: Iterable[int], classes: Sequence[str]) -> str:
    """What people call an image with these labels."""
    return " with ".join(classes[label] for label in labels) or "no label"
