"""Images in, bounded uint8 arrays out: the one place where files and bytes become pixels.

Formats: JPEG, PNG, WEBP, AVIF, BMP, GIF (first frame), TIFF (first page), and HEIC with the extra `heic`. Every other
format Pillow knows is refused, because some of them run other programs (EPS) or have a history of memory errors.

What becomes of each kind of image, the same for training, evaluation, prediction and serving:

================================  =================================================================================
RGB, grey, palette, 1 bit         as they are; grey is repeated to three channels
alpha (RGBA, grey + alpha,        composited on white: what lies under transparent pixels is never seen
transparent palette or colour)
CMYK, YCCK, YCbCr, HSV            Pillow's conversion to RGB, without the file's colour profile
16-bit grey                       value / 257, rounded (65535 → 255); not clipped at 255; a file that says that only
                                  10, 12 or 14 of the bits count (TIFF, sBIT of a PNG): by their largest value
16-bit colour                     the upper eight bits (Pillow's reader)
HEIC, AVIF of 10 or 12 bits       the upper eight bits
32-bit integer grey (TIFF)        as 16-bit where all values lie in 0…65535, else refused
float grey (TIFF)                 value × 255, rounded, where all values lie in 0…1, else refused
EXIF orientation                  applied, so that the image stands as its photographer saw it
================================  =================================================================================
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from vitascope.data.deep import deep_grey, note_png_depth, notice_dark_colours
from vitascope.data.formats import FORMATS, HEADER, HEIC, HEIC_REMEDY, READS_HEIC, format_of
from vitascope.data.orientation import SIDEWAYS, UPRIGHT, orientation_of
from vitascope.data.remarks import silence_pillow
from vitascope.errors import ConfigError, ImageError
from vitascope.wording import printable, reason

MAX_PIXELS = 100_000_000
"""Largest height × width that is decoded unless the caller allows more: 300 MB as RGB."""

UInt8 = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""(height, width)."""
ImageLike = str | Path | bytes | Image.Image | np.ndarray

_TILE = (322, 323)  # TileWidth, TileLength (TIFF 6.0, section 15)
_JPEG_BLOCK = 1 << 20  # bytes handed to the decoder at once; where its input breaks off it starts rows anew
_BYTES_EACH, _JPEG_BYTES_EACH = 32, 18  # for a pixel, at most, copies of every conversion included; measured
# The reader classes are called directly rather than through Image.open: that function warns or raises by a limit
# of its own, global to the process, which cannot be silenced from several threads at once.
_READERS: dict[str, Callable[[IO[bytes], str], Image.Image]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
if READS_HEIC:
    from pillow_heif import HeifImageFile

    _READERS[HEIC] = HeifImageFile


def read_image(
    image: ImageLike,
    *,
    channels: int = 3,
    max_pixels: int = MAX_PIXELS,
    draft: Size | None = None,
    name: str | None = None,
) -> UInt8:
    """Decode one image → uint8 (H, W, channels), a fresh C-contiguous array.

    `image` is a path, the bytes of a file, a PIL image, or a uint8 array (H, W) or (H, W, C) with C = 1 grey, 2 grey +
    alpha, 3 RGB, 4 RGB + alpha; an array whose C equals `channels` is copied unchanged.
    `channels` is 1 (grey, ITU-R 601 luma) or 3 (RGB). `draft` = (height, width): a JPEG may be decoded at 1/2, 1/4 or
    1/8 of its size, never smaller than this; quicker, and not the same pixels. `name` is how messages call the image.
    Raises ImageError, in one line, for anything unreadable, refused or larger than `max_pixels` (read from the
    header, before any pixel is decoded); ConfigError for other `channels` of an image that is no such array.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image, channels, max_pixels, printable(name or "the array"))
    if channels not in (1, 3):
        raise ConfigError(f"channels={channels}, expected 1 (grey) or 3 (RGB); set channels to 3")
    if isinstance(image, Image.Image):
        shown = printable(name or getattr(image, "filename", "") or "the PIL image")
        return decode(image, channels, max_pixels, shown)
    with file_of(image, name) as (file, shown), opened(file, max_pixels, shown) as picture:
        return decode(picture, channels, max_pixels, shown, draft=draft)


@contextmanager
def file_of(image: str | Path | bytes, name: str | None) -> Iterator[tuple[IO[bytes], str]]:
    """What holds an encoded image, and how messages call it; raises ImageError where there is no such file."""
    if isinstance(image, bytes | bytearray | memoryview):
        yield io.BytesIO(image), printable(name or f"the {len(image)} bytes received")
        return
    if not isinstance(image, str | Path):
        raise ImageError(
            f"received {type(image).__name__}, expected a path, bytes, a PIL image or a uint8 array; convert it first"
        )
    shown = printable(name or str(image))
    try:
        status = os.stat(image)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise ImageError(f"{shown}: not a file, expected a {FORMATS} image; give the path of a file")
        if status.st_size == 0:
            raise ImageError(f"{shown}: empty file, expected a {FORMATS} image; replace or remove it")
        with open(image, "rb") as file:
            yield file, shown
    except FileNotFoundError:
        raise ImageError(f"{shown}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ImageError(f"{shown}: cannot be opened ({reason(error)}); check its path and permissions") from None


def decoding_bytes(content: bytes, max_pixels: int = MAX_PIXELS) -> int:
    """Most memory that `read_image` takes at once for these bytes, by the size that their header states.

    Raises ImageError for what cannot be opened or has more than `max_pixels`.
    """
    shown = f"the {len(content)} bytes received"
    if format_of(content[:HEADER]) == "WEBP":
        size = _webp_size(content)
        refuse_large(size, max_pixels, shown)
        return size[0] * size[1] * _BYTES_EACH
    with opened(io.BytesIO(content), max_pixels, shown) as image:
        refuse_large(image.size, max_pixels, shown)
        each = _JPEG_BYTES_EACH if isinstance(image, JpegImagePlugin.JpegImageFile) else _BYTES_EACH
        return max(image.width * image.height, math.prod(_tile(image))) * each


def opened(file: IO[bytes], max_pixels: int, shown: str) -> Image.Image:
    """The header of an encoded image, which is all that has been read; raises ImageError."""
    silence_pillow()
    header = file.read(HEADER)
    file.seek(0)
    if not header:
        raise ImageError(f"{shown}: no bytes, expected a {FORMATS} image; replace or remove it")
    kind = format_of(header)
    reader = _READERS.get(kind or "")
    if reader is None:
        seen = f"a {kind} image, not a {FORMATS}" if kind else f"not a {FORMATS} image (it begins with {header[:12]!r})"
        raise ImageError(f"{shown}: {seen}; {HEIC_REMEDY if kind == HEIC else 'convert or remove it'}")
    if kind == "WEBP":  # Pillow takes the memory for it when it opens it, so its size is read here first
        refuse_large(_webp_size(header), max_pixels, shown)
    try:
        image = reader(file, shown)
        tile = _tile(image)
        if kind == "PNG":
            note_png_depth(file, image)
        elif isinstance(image, JpegImagePlugin.JpegImageFile):
            image.decodermaxblock = _JPEG_BLOCK
    except Exception as error:  # whatever a reader meets in a damaged header
        raise _damaged(shown, error) from None
    refuse_large(tile, max_pixels, f"{shown}: a tile of it")
    return image


def _tile(image: Image.Image) -> tuple[int, int]:
    """(width, height) of a TIFF's tiles, which are decoded whole however small the image is; else (0, 0)."""
    tags = getattr(image, "tag_v2", None)
    width, height = (int(np.max(tags.get(tag, 0))) if tags else 0 for tag in _TILE)
    return width, height


def decode(
    image: Image.Image,
    channels: int,
    max_pixels: int,
    shown: str,
    *,
    draft: Size | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> UInt8:
    """What `read_image` makes of an opened image, or of `box` alone (left, top, right, bottom, as stored)."""
    refuse_large(image.size, max_pixels, shown)
    try:
        if draft is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            height, width = draft
            image.draft(None, (height, width) if orientation_of(image) in SIDEWAYS else (width, height))
        image.load()
        orientation = orientation_of(image)  # only now: Pillow turns a TIFF itself when it loads it
        refuse_large(image.size, max_pixels, shown)  # a GIF frame may be larger than its header says
        pixels = _to_mode(image if box is None else image.crop(box), "L" if channels == 1 else "RGB", shown)
        if orientation in UPRIGHT:
            pixels = pixels.transpose(UPRIGHT[orientation])
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # truncated and damaged data raise a dozen different types
        raise _damaged(shown, error) from None
    array = np.array(pixels, dtype=np.uint8)  # a copy, hence writable
    return array[:, :, None] if channels == 1 else array


def _to_mode(image: Image.Image, mode: str, shown: str) -> Image.Image:
    """Any decoded PIL image → "L" or "RGB", by the table at the top of this file."""
    if image.mode.startswith("I") or image.mode == "F":
        image = deep_grey(image, shown)
    else:
        notice_dark_colours(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":  # the only one that Pillow does not convert straight to RGBA
            image = image.convert("LA")
        image = image.convert("RGBA")
        opaque = Image.new("RGB", image.size, (255, 255, 255))
        opaque.paste(image, mask=image.getchannel("A"))
        image = opaque
    elif image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _from_array(array: np.ndarray, channels: int, max_pixels: int, shown: str) -> UInt8:
    if array.dtype != np.uint8:
        hint = "multiply by 255, round and" if np.issubdtype(array.dtype, np.floating) else "scale to 0…255 and"
        raise ImageError(f"{shown}: {array.dtype} array, expected uint8 in 0…255; {hint} convert to uint8")
    stacked = array[:, :, None] if array.ndim == 2 else array
    if stacked.ndim != 3 or stacked.size == 0:
        raise ImageError(
            f"{shown}: array of shape {array.shape}, expected (H, W) or (H, W, C); give one image at a time"
        )
    height, width, depth = stacked.shape
    refuse_large((width, height), max_pixels, shown)
    if depth == channels:
        return np.array(stacked, dtype=np.uint8, order="C")
    if channels not in (1, 3) or depth > 4:
        first = " (is it channels-first? transpose to H, W, C)" if height in (1, 3, 4) else ""
        raise ImageError(
            f"{shown}: array of shape {array.shape}, expected 1 to 4 channels last{first}, "
            f"to be read as {channels}; give (H, W, {channels})"
        )
    if depth == 2:  # Pillow builds grey + alpha from bands only
        image = Image.merge("LA", [Image.fromarray(np.ascontiguousarray(stacked[:, :, band])) for band in (0, 1)])
    else:
        image = Image.fromarray(np.ascontiguousarray(stacked[:, :, 0] if depth == 1 else stacked))
    return decode(image, channels, max_pixels, shown)


def _webp_size(header: bytes) -> tuple[int, int]:
    """(width, height) from the first 30 bytes of a WEBP file (container specification, RFC 9649)."""
    kind = header[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(header[24:27], "little"), 1 + int.from_bytes(header[27:30], "little")
    if kind == b"VP8L":  # after the one-byte signature: 14 bits of width − 1, then 14 of height − 1
        bits = int.from_bytes(header[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(header[26:28], "little") & 0x3FFF, int.from_bytes(header[28:30], "little") & 0x3FFF


def refuse_large(size: tuple[int, int], max_pixels: int, shown: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{shown}: {width}×{height} = {width * height:,} pixels, expected at most {max_pixels:,}; make it smaller"
        )


def _damaged(shown: str, error: Exception) -> ImageError:
    return ImageError(f"{shown}: cannot be decoded ({reason(error)}); it is damaged: replace or remove it")
