"""Which way up an image was taken, as its EXIF data say."""

from __future__ import annotations

from typing import Literal

from PIL import Image

from vitascope.data.remarks import DAMAGED_EXIF, remark

_EXIF_ORIENTATION = 0x0112
# Each orientation of the EXIF standard, and what brings it upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)


def orientation_of(image: Image.Image) -> int:
    """As EXIF says, 1 where it says nothing; a remark where it states more tags than can be read."""
    try:
        exif, block = image.getexif(), (image.info.get("exif") or b"").removeprefix(b"Exif\0\0")  # None of HEIC
        order: Literal["little", "big"] = "little" if block[:2] == b"II" else "big"
        tags = int.from_bytes(block[4:8], order)  # where they begin, behind their number (TIFF 6.0, section 2)
        if block and (len(block) < tags + 2 or len(exif) < int.from_bytes(block[tags : tags + 2], order)):
            remark(DAMAGED_EXIF)
        return int(exif.get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not make the pixels unreadable
        remark(DAMAGED_EXIF)
        return 1
