"""Greys of 16 and 32 bits and floats → 8 bits, and which bits a file means by them."""

from __future__ import annotations

from typing import IO

import numpy as np
from PIL import Image

from vitascope.data.remarks import DARK, remark
from vitascope.errors import ImageError

_BITS_PER_SAMPLE = 258  # TIFF 6.0
_SIGNIFICANT = "significant bits"
_MOST_CHUNKS = 100


def note_png_depth(file: IO[bytes], image: Image.Image) -> None:
    """Keeps with a 16-bit PNG how many bits count (its sBIT chunk; 16 where there is none) for `deep_grey`."""
    place = file.tell()
    file.seek(24)
    if file.read(1) == b"\x10":
        image.info[_SIGNIFICANT] = 16
        file.seek(33)  # behind the header
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IDAT":
                break
            if head[4:] == b"sBIT":
                image.info[_SIGNIFICANT] = min(max(int.from_bytes(file.read(1), "big"), 1), 16)
                break
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    file.seek(place)


def deep_grey(image: Image.Image, shown: str) -> Image.Image:
    """A grey image of 16 bits (also 12 in 16), 32 bits or floats → "L"; raises ImageError out of range."""
    values = np.asarray(image)
    if image.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ImageError(f"{shown}: float pixels outside 0…1, expected 0…1; save it with 8 or 16 bits")
        return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise ImageError(f"{shown}: 32-bit pixels outside 0…65535, expected 0…65535; save it with 8 or 16 bits")
    full = _full_scale(image, wide)
    if full == 65535 and 0 < wide.max() < 4096:
        remark(DARK)
    grey = Image.fromarray(((wide * 510 + full) // (2 * full)).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # one grey value that counts as transparent: white, like all transparency
        grey.paste(255, mask=Image.fromarray(np.where(wide == transparent, 255, 0).astype(np.uint8)))
    return grey


def notice_dark_colours(image: Image.Image) -> None:
    """A remark about a 16-bit colour image of which Pillow kept the upper 8 bits, where those hold next to nothing."""
    if _stored_bits(image) == 16 and image.mode in ("RGB", "RGBA", "LA"):
        colours = image.getextrema()[: 1 if image.mode == "LA" else 3]
        if 0 < max(int(band[1]) for band in colours) < 16:  # type: ignore[index]
            remark(DARK)


def _full_scale(image: Image.Image, values: np.ndarray) -> int:
    """The value that is white: 4095 where the file says that 12 bits of its 16 count and stores them as they are."""
    bits = _stored_bits(image)
    if bits < 16:
        return (1 << bits) - 1
    bits = image.info.get(_SIGNIFICANT, 16)
    if bits < 8 or values.max() >= 1 << bits:
        return 65535  # scaled up to all 16, as the PNG specification asks (11.3.2.5)
    low = values & ((1 << (16 - bits)) - 1)
    scaled_up = not low.any() or np.array_equal(low, values >> bits)
    return 65535 if scaled_up else (1 << bits) - 1


def _stored_bits(image: Image.Image) -> int:
    """Bits of a sample in the file, where Pillow tells: of a TIFF, of a 16-bit PNG; else 16 for grey, 8 for colour."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None and image.mode.startswith(("I;16", "RGB")):
        stated = tags.get(_BITS_PER_SAMPLE, (8,))
        return int(stated[0] if isinstance(stated, tuple) else stated)
    return 16 if _SIGNIFICANT in image.info or image.mode.startswith("I") else 8
