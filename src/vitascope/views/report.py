"""All views of one checkpoint over a set of images: means over all of them, and the first few looked at wholly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import ImageLike
from vitascope.errors import ConfigError, ImageError
from vitascope.views.look import Look, Scope, looks, scope


@dataclass(frozen=True, kw_only=True)
class NamedImage:
    """An image and what people call it: a file's path, or an example's name."""

    name: str
    image: ImageLike


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What `vitascope inspect` writes of one checkpoint."""

    name: str
    """What people call the checkpoint."""
    scope: Scope
    """What is seen without an image."""
    images: int
    """How many images the means are over."""
    distance: np.ndarray
    """float32 (L, h): mean attention distance over all images, pixels."""
    share: np.ndarray
    """float32 (L, h): share of the image attended, mean over all images."""
    norms: np.ndarray
    """float32 (L, T): mean length of every token after every block."""
    looks: list[tuple[str, Look]]
    """The first images, each looked at wholly, with their names."""
    unreadable: list[tuple[str, str]]
    """(name, why) of images that were left out."""


def make_report(
    checkpoint: Checkpoint,
    images: Sequence[NamedImage],
    *,
    name: str,
    show: int = 6,
    batch: int = 16,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Report:
    """Looks at `images` with `checkpoint`; an unreadable one is left out and named. On the model's device.

    Raises `ConfigError` for a model without attention, `ImageError` when no image can be read.
    """
    if show < 1 or batch < 1:
        raise ConfigError(f"show is {show} and batch is {batch}, expected at least 1")
    seen = scope(checkpoint)
    shown: list[tuple[str, Look]] = []
    unreadable: list[tuple[str, str]] = []
    count, sums = 0, dict.fromkeys(("distance", "share", "norms"), np.zeros(()))
    for begin in range(0, len(images), batch):
        names, pixels = [], []
        for item in images[begin : begin + batch]:
            try:
                pixels.append(checkpoint.preprocess.pixels(item.image))
                names.append(item.name)
            except ImageError as error:
                unreadable.append((item.name, str(error)))
        for called, look in zip(names, looks(checkpoint, pixels) if pixels else (), strict=True):
            count += 1
            sums = {view: total + getattr(look, view).astype(np.float64) for view, total in sums.items()}
            if len(shown) < show:
                shown.append((called, look))
        progress(min(begin + batch, len(images)), len(images))
    if not count:
        raise ImageError(f"no image could be looked at: {unreadable[0][1] if unreadable else 'none was given'}")
    means = {view: (total / count).astype(np.float32) for view, total in sums.items()}
    return Report(name=name, scope=seen, images=count, looks=shown, unreadable=unreadable, **means)
