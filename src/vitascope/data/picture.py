"""An image whose size is known, and of which as much is decoded as is asked for.

Of a photograph a random crop needs a part. A JPEG's data run from the top row to the bottom one: if the height in its
header is lowered, a decoder makes just the rows above, the same to the last bit, and passes over the rest, which
saves a tenth of the time of an epoch of crops from files. Other images are decoded at once.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vitascope.data.images import (
    MAX_PIXELS,
    UInt8,
    decode,
    file_of,
    opened,
    read_image,
    refuse_large,
)
from vitascope.data.orientation import SIDEWAYS, UPRIGHT, orientation_of
from vitascope.data.resize import Interpolation, resample

Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of an image that stands upright."""

_LARGEST_FILE = 64 << 20  # bytes that are read before the header has been looked at
_SOI = b"\xff\xd8\xff"
_FRAMES = (0xC0, 0xC1)  # baseline and extended sequential, Huffman coded; progressive files have every row in each scan
_ANY_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_MARGIN = 8  # rows below the part that smooth its colours


class Picture:
    """An image by its pixels, uint8 (H, W, C); what it gives is to be looked at and not changed."""

    def __init__(self, pixels: UInt8) -> None:
        self._pixels = pixels
        self.size: tuple[int, int] = (pixels.shape[0], pixels.shape[1])
        """Height and width, the image standing upright."""

    @property
    def content(self) -> bytes:
        """What tells the image from others: the file of a JPEG, shape and pixels of any other."""
        return repr(self._pixels.shape).encode() + np.ascontiguousarray(self._pixels).tobytes()

    def read(self, channels: int = 3, draft: tuple[int, int] | None = None) -> UInt8:
        """uint8 (H, W, channels) of all of it; `draft` as in `read_image`. Raises ImageError."""
        return self.part((0, 0, *self.size), channels)

    def part(self, box: Box, channels: int = 3) -> UInt8:
        """The same pixels as in `read(channels)`, of a box alone; a channel beyond those means nothing."""
        top, left, height, width = box
        pixels = self._pixels[top : top + height, left : left + width]
        return pixels if pixels.shape[2] == channels else read_image(pixels, channels=channels)

    def crop(
        self, box: Box, size: tuple[int, int], channels: int, *, interpolation: Interpolation, antialias: bool
    ) -> UInt8:
        """A box resized for training, uint8 (h, w, channels), whose channels may be planes. Raises ImageError."""
        part = self.part(box, channels)
        return resample(part, size, interpolation=interpolation, antialias=antialias, quick=True)[:, :, :channels]


class _Jpeg(Picture):
    """A JPEG of which the header has been read."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = data, name
        with opened(io.BytesIO(data), MAX_PIXELS, name) as header:
            refuse_large(header.size, MAX_PIXELS, name)
            width, height = header.size
            self._orientation = orientation_of(header)
        self.size = (width, height) if self._orientation in SIDEWAYS else (height, width)

    @property
    def content(self) -> bytes:
        return self._data

    def read(self, channels: int = 3, draft: tuple[int, int] | None = None) -> UInt8:
        return read_image(self._data, channels=channels, draft=draft, name=self._name)

    def part(self, box: Box, channels: int = 3) -> UInt8:
        left, top, right, bottom = stored = self._as_stored(*box)
        data = shortened(self._data, bottom + _MARGIN)
        try:
            with opened(io.BytesIO(data), MAX_PIXELS, self._name) as image:
                image.load()
                if image.mode == "RGB" and channels == 3 and self._orientation not in UPRIGHT:
                    return _four_bytes(image)[top:bottom, left:right].copy()
                return decode(image, channels, MAX_PIXELS, self._name, box=stored)
        except Exception:  # an odd file: as a whole it may be readable, else this says why not
            return Picture(self.read(channels)).part(box, channels)

    def _as_stored(self, top: int, left: int, height: int, width: int) -> tuple[int, int, int, int]:
        """A box of the upright image → (left, top, right, bottom) in the file's own rows and columns."""
        if self._orientation in (2, 3, 6, 7):
            left = self.size[1] - left - width
        if self._orientation in (3, 4, 7, 8):
            top = self.size[0] - top - height
        if self._orientation in SIDEWAYS:
            top, left, height, width = left, top, width, height
        return left, top, left + width, top + height


def _four_bytes(image: Image.Image) -> UInt8:
    """Pillow's own memory of an RGB image, (H, W, 4), which saves a copy; (H, W, 3) where it is not in one piece."""
    import pyarrow

    try:
        return pyarrow.array(image).values.to_numpy().reshape(image.height, image.width, 4)
    except ValueError:  # a large image lies in several blocks
        return np.asarray(image)


def open_image(image: str | Path | bytes | Image.Image | np.ndarray | Picture, *, name: str | None = None) -> Picture:
    """A JPEG to be decoded once it is known how much of it is wanted; other images decoded. Raises ImageError."""
    if isinstance(image, Picture):
        return image
    if isinstance(image, np.ndarray):
        return Picture(image)
    if not isinstance(image, Image.Image):
        with file_of(image, name) as (file, shown):
            is_jpeg, size = file.read(len(_SOI)) == _SOI, file.seek(0, io.SEEK_END)
            if is_jpeg and size <= _LARGEST_FILE:
                file.seek(0)
                return _Jpeg(file.read(), shown)
    return Picture(read_image(image, name=name))


def shortened(data: bytes, rows: int) -> bytes:
    """The JPEG of the first `rows` rows; `data` itself where it has no more, or is not of the kind that can be cut."""
    at = _height_at(data)
    if at is None or rows >= int.from_bytes(data[at : at + 2], "big"):
        return data
    return b"".join((data[:at], rows.to_bytes(2, "big"), data[at + 2 :]))


def _height_at(data: bytes) -> int | None:
    """Where the header has the height (ITU-T T.81, B.2); None unless all rows come in one scan from top to bottom."""
    place, height_at, components = 2, None, 0
    while place + 10 < len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        if kind == 0xFF:  # a byte that fills up before a marker
            place += 1
            continue
        if kind == _START_OF_SCAN:
            return height_at if data[place + 4] == components else None
        if kind in _FRAMES and height_at is None:
            height_at, components = place + 5, data[place + 9]
        elif kind in _ANY_FRAME:
            return None
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
