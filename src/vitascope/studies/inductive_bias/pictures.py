"""The images that all models of the study see: a fixed draw from a data set, or the examples of the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.images import ImageLike
from vitascope.data.open import open_data
from vitascope.data.source import Int64, Source, View
from vitascope.errors import ConfigError, DataError, UserError
from vitascope.recipes.evaluation import relabelled
from vitascope.streams import Stream, generator
from vitascope.web.examples import examples


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Some images, and where they are from."""

    name: str
    """For people."""
    images: Sequence[ImageLike]
    """Each as `Preprocess` takes it."""
    source: Source | None = None
    """The same images with labels, where they have any."""

    def labels_of(self, checkpoint: Checkpoint) -> Int64 | None:
        """Right answers in the order of the checkpoint's classes, (n,); None where it has other classes."""
        if self.source is None or not checkpoint.labels:
            return None
        try:
            return relabelled(self.source, checkpoint.labels).labels
        except UserError:
            return None


def pictures_of(data: str, count: int, seed: int) -> Pictures:
    """`count` images of `data` at most, drawn by `seed` from its test split, else validation, else train.

    Raises `DataError`, and `ImageError` for one that cannot be read.
    """
    if count < 2:
        raise ConfigError(f"images is {count}, expected at least 2, whose difference is the yardstick")
    found = open_data(data).first(least=2)
    if found is None:
        raise DataError(f"{data} holds no two images to look at; give other data")
    source = found[1]
    chosen = np.sort(generator(Stream.PICTURES, seed).permutation(len(source))[:count]).astype(np.int64)
    subset = View(source, chosen, f"{len(chosen)} images of {source.name}")
    return Pictures(name=subset.name, images=[subset[i] for i in range(len(subset))], source=subset)


def example_pictures(sizes: Sequence[tuple[int, int]]) -> Pictures:
    """What the package carries, for models of these (height, width): photographs, and digits if all are small."""
    found = examples((max(h for h, _ in sizes), max(w for _, w in sizes)))
    return Pictures(name=", ".join(example.name for example in found), images=[e.content for e in found])
