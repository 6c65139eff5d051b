"""Files of every image format with bytes changed, cut, repeated and lost, through `read_image` and a prediction."""

from __future__ import annotations

import io
import random
import signal
import time
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, features

import vitascope as vs
from tiny_checkpoint import checkpoint
from vitascope.data.images import decoding_bytes, read_image
from vitascope.errors import ImageError

_SECONDS = 10
_MOST_PIXELS = 1_000_000
_LONGEST_LINE = 300


def run(seed: int, count: int) -> dict[str, int]:
    """`count` damaged files → how often each outcome was met; `damaged(seed, index)` makes one of them again."""
    predictor = vs.Predictor(checkpoint())
    return dict(Counter(_outcome(predictor, seed, index) for index in range(count)))


def damaged(seed: int, index: int) -> bytes:
    """Content of file `index`."""
    draw = random.Random(f"{seed} {index}")
    content = bytearray(draw.choice(_sound()))
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        size = len(content) or 1
        at = draw.randrange(min(size, 200) if draw.random() < 0.6 else size)
        length = draw.choice((1, 2, 4, 16, 64, 512))
        match draw.randrange(6):
            case 0 if at < len(content):
                content[at] ^= 1 << draw.randrange(8)
            case 1:
                content[at : at + length] = draw.randbytes(length)
            case 2:
                content[at : at + length] = content[at : at + length] * draw.choice((2, 20))
            case 3:
                del content[at : at + length]
            case 4:
                content[at : at + 4] = draw.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
            case _ if draw.random() < 0.4:
                del content[at:]
    return bytes(content)


def _outcome(predictor: vs.Predictor, seed: int, index: int) -> str:
    content = damaged(seed, index)
    began = time.monotonic()
    signal.alarm(_SECONDS)  # a hang ends the campaign
    try:
        outcome = _read(predictor, content)
    except Exception as error:
        outcome = f"{type(error).__name__} {str(error)[:500]}"
    signal.alarm(0)
    if time.monotonic() - began > _SECONDS / 2:
        outcome = "slow"
    return outcome if outcome in ("read", "refused") else f"{index}: {outcome}"


def _read(predictor: vs.Predictor, content: bytes) -> str:
    try:
        pixels = read_image(content, max_pixels=_MOST_PIXELS)
    except ImageError as error:
        fine = "\n" not in str(error) and len(str(error)) <= _LONGEST_LINE
        return "refused" if fine else f"no line for people {error}"
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or pixels.size > 3 * _MOST_PIXELS:
        return f"pixels {pixels.dtype} {pixels.shape}"
    if decoding_bytes(content) < pixels.nbytes:
        return "reckoned to take less than it is"
    (label, _, probability), *_ = predictor(content)[0]
    known = label in predictor.checkpoint.labels and 0 <= probability <= 1
    return "read" if known else f"predicted {label} {probability}"


@cache
def _sound() -> list[bytes]:
    """One of each kind."""
    values = np.random.default_rng(0).integers(0, 256, (24, 31, 3), np.uint8)
    colour, grey = Image.fromarray(values), Image.fromarray(values[..., 0])
    deep = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (colour, "JPEG", {"exif": exif}),
        (colour, "JPEG", {"progressive": True}),
        (colour.convert("CMYK"), "JPEG", {}),
        (grey, "PNG", {}),
        (colour, "PNG", {"exif": exif, "icc_profile": bytes(200)}),
        (colour.convert("RGBA"), "PNG", {}),
        (colour.convert("P"), "PNG", {"transparency": 3}),
        (deep, "PNG", {}),
        (colour, "WEBP", {}),
        (colour.convert("RGBA"), "WEBP", {"lossless": True, "save_all": True, "append_images": [colour.rotate(180)]}),
        (colour, "BMP", {}),
        (grey, "GIF", {"save_all": True, "append_images": [grey.rotate(180)]}),
        (colour, "TIFF", {}),
        (colour, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (colour, "TIFF", {"compression": "tiff_lzw"}),
        (colour, "TIFF", {"compression": "jpeg"}),
        (deep, "TIFF", {}),
        (Image.fromarray(values[..., 0].astype(np.float32) / 255), "TIFF", {}),
    ]
    if features.check("avif"):
        kinds.append((colour, "AVIF", {}))
    files = []
    for image, format, options in kinds:
        file = io.BytesIO()
        image.save(file, format, **options)
        files.append(file.getvalue())
    return files
