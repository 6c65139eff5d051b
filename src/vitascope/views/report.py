"""All views of one checkpoint over a set of images: means over all of them, and the first few looked at wholly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import ImageLike
from vitascope.errors import ConfigError, ImageError
from vitascope.views.attention_share import Shares
from vitascope.views.capture import as_vit, captures, read_attention
from vitascope.views.distance import Distances
from vitascope.views.look import Look, Scope, look, scope
from vitascope.views.norms import norms_by_image

Progress = Callable[[int, int], None]


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
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """(name, why) of images that were left out."""


def make_report(
    checkpoint: Checkpoint,
    images: Sequence[NamedImage],
    *,
    name: str,
    show: int = 6,
    batch: int = 16,
    progress: Progress | None = None,
) -> Report:
    """Looks at `images` with `checkpoint`; an unreadable one is left out and named. On the model's device.

    Raises `ConfigError` for a model without attention, `ImageError` when no image can be read.
    """
    if show < 1 or batch < 1:
        raise ConfigError(f"show is {show} and batch is {batch}, expected at least 1")
    model = as_vit(checkpoint.model)
    seen = scope(checkpoint)
    looks: list[tuple[str, Look]] = []
    unreadable: list[tuple[str, str]] = []
    sums = [np.zeros((seen.layers, n)) for n in (seen.heads, seen.heads, seen.prefix + seen.grid[0] * seen.grid[1])]
    count = 0
    for first in range(0, len(images), batch):
        inputs = []
        for item in images[first : first + batch]:
            try:
                inputs.append(checkpoint.preprocess(item.image))
                if len(looks) < show:
                    looks.append((item.name, look(checkpoint, item.image)))
            except ImageError as error:
                unreadable.append((item.name, str(error)))
        for capture in captures(model, torch.stack(inputs), tokens=True) if inputs else ():
            heads = read_attention(capture, Distances, Shares)
            for total, view in zip(sums, (*heads, norms_by_image(capture)), strict=True):
                total += view.double().sum(dim=0).cpu().numpy()
            count += capture.images
        if progress is not None:
            progress(min(first + batch, len(images)), len(images))
    if not count:
        why = unreadable[0][1] if unreadable else "none was given"
        raise ImageError(f"no image could be looked at: {why}")
    distance, share, norms = ((total / count).astype(np.float32) for total in sums)
    return Report(
        name=name,
        scope=seen,
        images=count,
        distance=distance,
        share=share,
        norms=norms,
        looks=looks,
        unreadable=unreadable,
    )
