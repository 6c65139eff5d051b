"""Which files are images: the formats that are read here, and others that messages can at least name."""

from __future__ import annotations

from importlib.util import find_spec

HEIC = "HEIC"
READS_HEIC = find_spec("pillow_heif") is not None
"""Whether the extra `heic` is installed."""
HEIC_REMEDY = "pip install 'vitascope[heic]' reads HEIC"

FORMATS = f"JPEG, PNG, WEBP, AVIF, {'HEIC, ' if READS_HEIC else ''}BMP, GIF or TIFF"
"""For messages."""

_HEIC_ENDINGS = (".heic", ".heif", ".hif")
EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")
    + (_HEIC_ENDINGS if READS_HEIC else ())
)
"""File name endings, lower case, that folders and tar shards take for images."""

_OTHERS = {
    HEIC: () if READS_HEIC else _HEIC_ENDINGS,
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "Netpbm": (".ppm", ".pgm", ".pbm", ".pnm", ".pam"),
    "raw": (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    "DICOM": (".dcm", ".dicom"),
    "Photoshop": (".psd", ".psb"),
    "TGA": (".tga",),
    "ICO": (".ico",),
    "DIB": (".dib",),
    "OpenEXR": (".exr",),
    "SVG": (".svg", ".svgz"),
}
UNREAD = {ending: name for name, endings in _OTHERS.items() for ending in endings}
"""Ending, lower case → format, of images that are not read."""

HEADER = 64
"""Bytes that `format_of` looks at."""
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR",
    **{b"P%d%c" % (kind, space): "Netpbm" for kind in range(1, 8) for space in b" \n\r\t"},
}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}


def format_of(header: bytes) -> str | None:
    """The format of a file by its first `HEADER` bytes; None for what is no image known here."""
    if header[:4] == b"RIFF" and header[8:12] == b"WEBP":
        return "WEBP"
    if header[4:8] == b"ftyp":  # the brand, then those it is compatible with (ISO/IEC 14496-12, 4.3)
        end = min(int.from_bytes(header[:4], "big"), len(header))
        brands = {header[8:12], *(header[at : at + 4] for at in range(16, end, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return HEIC if brands & _HEIC_BRANDS or header[8:12] in (b"mif1", b"msf1") else None
    return next((name for start, name in _STARTS.items() if header.startswith(start)), None)
