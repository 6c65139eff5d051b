"""Images to begin with: a run's own, with their true labels; else two photographs, and for models that may know them
handwritten digits, from scikit-learn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from vitascope.checkpoints.kept_examples import KeptExample
from vitascope.data.images import read_image
from vitascope.data.sample_photographs import NAMES, sample_photograph
from vitascope.web.payload import picture

_SMALL = 32
"""Up to this side in pixels a model gets digits too."""
_THUMBNAIL = 48
"""Pixels of a thumbnail's longer side."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image that the page opens with."""

    id: str
    """In addresses."""
    name: str
    """For people."""
    content: bytes
    """The file's bytes: JPEG or PNG."""

    @cached_property
    def thumbnail(self) -> str:
        """A small PNG as data URL."""
        image = Image.fromarray(read_image(self.content))
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        return picture(np.asarray(image))


def examples(size: tuple[int, int], labels: Sequence[str], kept: Sequence[KeptExample] = ()) -> list[Example]:
    """For a model that sees (height, width) and knows `labels`: what its run `kept`, by their true labels, else of the
    package; digits first, where they are shown: never by a model of other things.
    """
    if kept:
        return [Example(id=f"kept-{n}", name=each.label, content=each.content) for n, each in enumerate(kept)]
    photographs = [Example(id=name, name=f"{name}.jpg", content=sample_photograph(name)) for name in NAMES]
    shows_digits = max(size) <= _SMALL and set(labels) <= set("0123456789")
    return [*_digits(), *photographs] if shows_digits else photographs


def _digits(count: int = 6) -> list[Example]:
    """The first test image of each of the first digits: none of them was trained on by the demo."""
    from vitascope.data.sources.digits import open_digits

    test = open_digits().test
    assert test is not None
    found = []
    for digit in range(count):
        file = io.BytesIO()
        Image.fromarray(test[int(np.flatnonzero(test.labels == digit)[0])]).save(file, "PNG")
        found.append(Example(id=f"digit-{digit}", name=f"handwritten {digit}", content=file.getvalue()))
    return found
