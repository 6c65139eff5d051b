"""How much memory decoding takes: never more than what the header was said to mean."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitascope.data.images import decoding_bytes, read_image
from vitascope.errors import ImageError

SIDE = 2000
GREY = (np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 8 % 251).astype(np.uint8)
COLOUR = Image.merge("RGB", [Image.fromarray(GREY)] * 3)
DEEP = Image.fromarray(GREY.astype(np.uint16) * 257)
MEASURE = """
import sys
from vitascope.data.images import read_image
def memory(kind):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(kind))
content = open(sys.argv[1], "rb").read()
read_image(open(sys.argv[2], "rb").read())
open("/proc/self/clear_refs", "w").write("5")
before = memory("VmRSS")
read_image(content)
print(memory("VmHWM") - before)
"""


def sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("image", "format", "options", "share"),
    [
        (COLOUR, "JPEG", {"progressive": True, "subsampling": 0, "exif": sideways()}, 0.6),
        (COLOUR.convert("CMYK"), "JPEG", {"progressive": True, "subsampling": 0}, 0.6),
        (DEEP, "PNG", {}, 0.5),
        (DEEP, "PNG", {"exif": sideways(), "transparency": 500}, 0.5),
        (Image.fromarray(GREY.astype(np.int32)), "TIFF", {}, 0.7),
        (COLOUR.convert("RGBA"), "WEBP", {"save_all": True, "append_images": [COLOUR.transpose(0)]}, 0.5),
        (COLOUR.convert("RGBA"), "AVIF", {"quality": 100, "subsampling": "4:4:4"}, 0.3),
    ],
)
def test_no_file_takes_more_than_is_reckoned(
    image: Image.Image, format: str, options: dict[str, Any], share: float, tmp_path: Path
) -> None:
    content = saved(image, format, **options)
    (tmp_path / "large").write_bytes(content)
    (tmp_path / "small").write_bytes(saved(COLOUR.resize((300, 300)), "PNG"))
    words = [sys.executable, "-c", MEASURE, str(tmp_path / "large"), str(tmp_path / "small")]
    peak = int(subprocess.check_output(words, text=True))
    assert share * decoding_bytes(content) < peak <= decoding_bytes(content)


def test_what_is_refused_is_refused_before() -> None:
    content = saved(COLOUR, "PNG")
    for call in (read_image, decoding_bytes):
        with pytest.raises(ImageError, match=r"2000×2000 = 4,000,000 pixels, expected at most 3,999,999"):
            call(content, max_pixels=SIDE**2 - 1)
        with pytest.raises(ImageError, match="not a JPEG"):
            call(b"nothing")


def test_a_small_tiff_of_one_enormous_tile_is_refused() -> None:
    """20000 × 20000 pixels of zeros, of which the image is the first corner."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(20_000_000)) for _ in range(20)) + packer.flush()
    numbers = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, 20_000), (323, 20_000)]
    entries = [*numbers, (324, 8 + 2 + 12 * 10 + 4), (325, len(data))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    content = b"II*\0" + struct.pack("<IH", 8, 10) + directory + bytes(4) + data
    for call in (read_image, decoding_bytes):
        with pytest.raises(ImageError, match="a tile of it: 20000×20000 = 400,000,000 pixels"):
            call(content)
