"""JPEG files of which only a part is wanted, as for a random crop: rows below it are never decoded.

A JPEG's data run from the top row to the bottom one. If the height in its header is lowered, a decoder makes just the
rows above, the same to the last bit, and passes over the rest. Half of the time of decoding goes into data that no
crop can skip, those above it.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from vitascope.data.images import (
    MAX_PIXELS,
    SIDEWAYS,
    UPRIGHT,
    UInt8,
    damaged,
    orientation_of,
    read_image,
    refuse_large,
    to_mode,
)
from vitascope.data.remarks import silence_pillow
from vitascope.wording import printable

_LARGEST_FILE = 64 << 20  # bytes that are read before the header has been looked at
_SOI = b"\xff\xd8\xff"
_FRAMES = (0xC0, 0xC1)  # baseline and extended sequential, Huffman coded; progressive files have every row in each scan
_ANY_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_MARGIN = 8  # rows below the part that smooth its colours


class OpenJpeg:
    """A JPEG whose header has been read: `shape` is known, pixels are decoded when asked for.

    Raises ImageError for a damaged header or more than `max_pixels`.
    """

    def __init__(self, data: bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> None:
        self.data = data
        """The file."""
        self.name = name or f"the {len(data)} bytes received"
        """How messages call it."""
        self.max_pixels = max_pixels
        """Largest height × width that is decoded."""
        silence_pillow()
        try:
            with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as header:
                self._stored = header.size
                self._orientation = orientation_of(header)
        except Exception as error:  # whatever a reader meets in a damaged header
            raise damaged(printable(self.name), error) from None
        refuse_large(self._stored, max_pixels, printable(self.name))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3) as `read` returns it, the image standing upright."""
        width, height = self._stored
        return (width, height, 3) if self._orientation in SIDEWAYS else (height, width, 3)

    def read(self, channels: int = 3, draft: tuple[int, int] | None = None) -> UInt8:
        """All of it; see `read_image`."""
        return read_image(self.data, channels=channels, max_pixels=self.max_pixels, draft=draft, name=self.name)

    def part(self, top: int, left: int, height: int, width: int, channels: int = 3) -> UInt8:
        """`read(channels)[top : top + height, left : left + width]`, the same pixels. Raises ImageError."""
        return self.part_padded(top, left, height, width, channels)[:, :, :channels]

    def part_padded(self, top: int, left: int, height: int, width: int, channels: int = 3) -> UInt8:
        """`part`, perhaps with a fourth channel that means nothing: a copy less, as Pillow keeps colours so."""
        x, y, right, bottom = self._box_as_stored(top, left, height, width)
        data = shortened(self.data, bottom + _MARGIN)
        try:
            with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
                image.decodermaxblock = len(data)  # the decoder starts rows anew where its input is handed over in two
                image.load()
                if image.mode == "RGB" and channels == 3 and self._orientation not in UPRIGHT:
                    return _four_bytes(image)[y:bottom, x:right].copy()
                pixels = to_mode(image.crop((x, y, right, bottom)), "L" if channels == 1 else "RGB", self.name)
        except Exception:  # an odd file: as a whole it may be readable, else this says why not
            return self.read(channels)[top : top + height, left : left + width]
        if self._orientation in UPRIGHT:
            pixels = pixels.transpose(UPRIGHT[self._orientation])
        array = np.array(pixels, dtype=np.uint8)
        return array[:, :, None] if channels == 1 else array

    def _box_as_stored(self, top: int, left: int, height: int, width: int) -> tuple[int, int, int, int]:
        """A box of the upright image → (left, top, right, bottom) in the file's own rows and columns."""
        whole_height, whole_width, _ = self.shape
        if self._orientation in (2, 3, 6, 7):
            left = whole_width - left - width
        if self._orientation in (3, 4, 7, 8):
            top = whole_height - top - height
        if self._orientation in SIDEWAYS:
            top, left, height, width = left, top, width, height
        return left, top, left + width, top + height


def _four_bytes(image: Image.Image) -> UInt8:
    """Pillow's own memory of an RGB image, (H, W, 4), or a copy where that is not in one piece; not to be changed."""
    import pyarrow

    try:
        memory = pyarrow.array(image).values.to_numpy()
    except ValueError:  # a large image lies in several blocks
        return np.asarray(image)
    return memory.reshape(image.height, image.width, 4)


def open_image(image: str | Path | bytes, *, name: str | None = None) -> UInt8 | OpenJpeg:
    """A JPEG opened, decoded once it is known how much of it is wanted; other images decoded. Raises ImageError."""
    data = _whole_jpeg(image) if isinstance(image, str | Path) else image
    if data is None or not data.startswith(_SOI):
        return read_image(image, name=name)
    return OpenJpeg(data, name=name or (None if isinstance(image, bytes) else str(image)))


def _whole_jpeg(path: str | Path) -> bytes | None:
    """A JPEG file's bytes; None for anything else, which `read_image` reads or refuses."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE:
            return None
        with open(path, "rb", buffering=0) as file:
            start = file.read(len(_SOI))
            return start + file.read() if start == _SOI else None
    except (OSError, ValueError):
        return None


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
