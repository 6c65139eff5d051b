"""Images to begin with: two photographs, and for models of small images handwritten digits, all from scikit-learn."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib.resources import files

_SMALL = 32
"""Up to this side in pixels a model gets digits too."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image that comes with the package."""

    id: str
    """In addresses."""
    name: str
    """For people."""
    content: bytes
    """The file's bytes: JPEG or PNG."""


def examples(size: tuple[int, int]) -> list[Example]:
    """For a model that sees (height, width); digits first, where they are shown."""
    folder = files("sklearn.datasets.images")
    photographs = [
        Example(id=name, name=f"{name}.jpg", content=(folder / f"{name}.jpg").read_bytes())
        for name in ("flower", "china")
    ]
    return photographs if max(size) > _SMALL else [*_digits(), *photographs]


def _digits(count: int = 6) -> list[Example]:
    """The first test image of each of the first digits: none of them was trained on by the demo."""
    import numpy as np
    from PIL import Image

    from vitascope.data.sources.digits import open_digits

    test = open_digits().test
    assert test is not None
    found = []
    for digit in range(count):
        file = io.BytesIO()
        Image.fromarray(test[int(np.flatnonzero(test.labels == digit)[0])]).save(file, "PNG")
        found.append(Example(id=f"digit-{digit}", name=f"handwritten {digit}", content=file.getvalue()))
    return found
