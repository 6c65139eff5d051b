"""Encoded images, and what reading one comes to, for the tests of reading."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vitascope.data.formats import READS_HEIC
from vitascope.data.images import read_image
from vitascope.errors import ImageError

HEIF = pytest.param("HEIF", marks=pytest.mark.skipif(not READS_HEIC, reason="the extra heic is not installed"))
if READS_HEIC:
    import pillow_heif

    pillow_heif.register_heif_opener()  # for writing them


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def colours(height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def refused(image: object, match: str, **options: object) -> str:
    with pytest.raises(ImageError, match=match) as caught:
        read_image(image, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    return text


def outcome(image: object, **options: object) -> str:
    """The shape, or the message of an ImageError; any other error is a failure."""
    try:
        return str(read_image(image, **options).shape)  # type: ignore[arg-type]
    except ImageError as error:
        return str(error)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
