"""Small images as files, for tests of data."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image


def png(value: int) -> bytes:
    """A PNG of 3×2 pixels whose red is `value`."""
    stream = io.BytesIO()
    Image.new("RGB", (3, 2), (value, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def put(path: Path, value: int = 0, kind: str | None = None) -> Path:
    """A grey image of 4×4 pixels at `path`, in the format of its ending or of `kind`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (value, value, value)).save(path, kind)
    return path
