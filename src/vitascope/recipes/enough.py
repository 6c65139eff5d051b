"""Have I enough photographs? How right they make a classifier now, and would if there were more like them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.data.copies import readable_part
from vitascope.data.labels import single_labels
from vitascope.data.open import open_data
from vitascope.data.source import Source, Splits
from vitascope.errors import DataError
from vitascope.evaluation.forecast import least
from vitascope.recipes.asked import Enough
from vitascope.recipes.teach import teach
from vitascope.recipes.train_choices import sizes_to_try

_OURS = "start"
_TOLD = ("images", "interval", "baseline", "per_class", "forecast", "gains", "copies", "trained_on")
_LOOKED_AT = 50
"""Images whose size tells how large all are."""
Progress = Callable[[int, int], None]


def enough(asked: Enough, progress: Progress | None = None) -> dict[str, Any]:
    """JSON-able: "top1" of each image by a head that all others taught, its "interval" and "baseline", per class; the
    "forecast" at twice and four times as many and each class's "gains" from twice its own. Where these are empty, of
    how many images at "least" something is foretold. Raises `UserError`.
    """
    begun = time.monotonic()
    found = open_data(asked.data).first("train", "validation", "test")
    if found is None:
        raise DataError(f"{asked.data} holds no images")
    source = readable_part(found[1])
    single_labels(source, "this forecast")
    tried = []
    for size in _sizes(asked, source):
        start = load(asked.start, image_size=size)
        tried.append(teach(start, Splits(train=source), device=asked.device, progress=progress, group=asked.group))
    best = min(tried, key=lambda taught: float(_results(taught)["loss"]))
    results = _results(best)
    told = {name: results[name] for name in _TOLD}
    return {
        "data": asked.data,
        "start": asked.start,
        "image_size": list(best.preprocess.size),
        "top1": results["loo_top1"],
        **told,
        "least": least(len(best.labels)),
        "unreadable": len(found[1]) - len(source),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _sizes(asked: Enough, source: Source) -> list[int | tuple[int, int] | None]:
    """Those at which the start sees the images: its own, and of the package's also another that may suit better."""
    if asked.image_size or asked.start != _OURS:
        return [asked.image_size]
    some = np.linspace(0, len(source) - 1, min(len(source), _LOOKED_AT)).astype(int).tolist()
    return [*sizes_to_try(load(_OURS).config, int(np.median([min(source.open(i).size) for i in some])))]


def _results(taught: Checkpoint) -> dict[str, Any]:
    results: dict[str, Any] = taught.card["results"]
    return results
