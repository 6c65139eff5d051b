"""A part of a training set held out for validation: of every class, by the seed alone, copies on one side."""

from __future__ import annotations

import numpy as np

from vitascope.data.source import Int64, Source, View
from vitascope.errors import ConfigError, DataError
from vitascope.streams import Stream, generator
from vitascope.wording import printable


def stratified_holdout(source: Source, fraction: float, seed: int, copies: Int64 | None = None) -> tuple[View, View]:
    """Split off about `fraction` of every class → (rest, held out); the same for the same source, fraction and seed.

    Images of one number in `copies` (n,) stay on one side. A class of two or more, not all copies of one another, keeps
    at least one on each side; any other stays in the rest. Of several labels the rarest is served first (Sechidis et
    al., 2011). Raises ConfigError unless 0 < fraction < 1, DataError where nothing can be held out.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"hold-out fraction {fraction}, expected between 0 and 1; try 0.1")
    images, labels = source.pairs()
    if source.several:  # those without a label are a class too, here
        none = np.setdiff1d(np.arange(len(source)), images)
        images, labels = np.append(images, none), np.append(labels, np.full(len(none), len(source.classes)))
    counts = np.bincount(labels, minlength=len(source.classes))
    wanted = np.minimum(np.maximum(np.round(fraction * counts).astype(np.int64), 1), counts - 1)
    units = np.arange(len(source)) if copies is None else np.unique(copies, return_inverse=True)[1]
    together, ends = np.argsort(units[images], kind="stable"), np.cumsum(np.bincount(units[images]))
    held, taken = np.zeros(len(source), dtype=bool), np.zeros_like(counts)

    def take(unit: int, most: Int64) -> None:
        said = together[ends[unit - 1] if unit else 0 : ends[unit]]
        classes, found = np.unique(labels[said], return_counts=True)
        if not held[images[said[0]]] and (taken[classes] + found <= most[classes]).all():
            held[images[said]] = True
            taken[classes] += found

    # Seeded per class, so that adding a class does not move the images of another.
    orders = {
        label: units[generator(Stream.HOLDOUT, seed, label).permutation(images[labels == label])]
        for label in np.unique(labels).tolist()
    }
    if source.several:  # the rarest first, since images that have them have others too
        orders = {label: orders[label] for label in sorted(orders, key=lambda label: int(counts[label]))}
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
    return View(source, rest, f"{source.name} (rest)"), View(source, chosen, f"{source.name} (held out)")
