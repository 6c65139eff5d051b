"""What is no image, damaged or too large is refused on one line, before it takes memory."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoded import HEIF, colours, encoded, outcome, png_chunk, refused
from vitascope.data.formats import FORMATS
from vitascope.data.images import MAX_PIXELS, read_image


def png_claiming(width: int, height: int, body: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_500, 12_000, 20_000, 60_000])
def test_bombs_are_refused_from_the_header(side: int) -> None:
    # 9,500² is between Pillow's own warning and this limit: neither may leak (warnings are errors here).
    data = png_claiming(side, side, zlib.compress(b"\0" * 100))
    if side * side > MAX_PIXELS:
        text = refused(data, f"{side}×{side} = .* pixels, expected at most 100,000,000", name="bomb.png")
        assert text.startswith("bomb.png: ")
    else:
        refused(data, f"{side}×{side}", max_pixels=side * side - 1)


def claiming(kind: str, side: int) -> bytes:
    """A small image whose header says that it has this side."""
    data = bytearray(encoded(Image.new("L", (8, 8)), kind))
    if kind == "JPEG":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">2H", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<2i", side, side)
    elif kind == "GIF":
        data[6:10] = struct.pack("<2H", side, side)
    else:
        for tag in (256, 257):  # width and height, as one short or long each
            start = data.index(struct.pack("<H", tag), 8)
            data[start : start + 12] = struct.pack("<HHII", tag, 4, 1, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("side", [12_000, 20_000])
def test_bombs_of_every_other_format(kind: str, side: int) -> None:
    refused(claiming(kind, side), f"{side}×{side} = .* pixels, expected at most 100,000,000")


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_a_thousand_pages_cost_no_more_than_the_first(kind: str) -> None:
    pages = [Image.new("L", (4, 4), number % 256) for number in range(1000)]
    data = encoded(pages[0], kind, save_all=True, append_images=pages[1:])
    assert read_image(data, max_pixels=16).tolist() == np.zeros((4, 4, 3)).tolist()


def test_webp_bombs_are_refused_before_the_decoder_takes_memory() -> None:
    extended = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + (16_000).to_bytes(3, "little") * 2
    lossless = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little") + bytes(5)
    lossy = b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383)
    for data, side in ((extended, 16_001), (lossless, 16_383), (lossy, 16_383)):
        refused(data, f"{side}×{side}")


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"lossless": True, "exif": b"Exif\0\0MM"}])
def test_webp_header_size_is_the_images(options: dict[str, object]) -> None:
    data = encoded(Image.fromarray(colours(10, 20)), "WEBP", **options)
    refused(data, "20×10 = 200 pixels", max_pixels=199)
    assert read_image(data, max_pixels=200).shape == (10, 20, 3)


def test_the_limit_holds_for_every_kind_of_input() -> None:
    pixels = colours(10, 10)
    for given in (pixels, Image.fromarray(pixels), encoded(Image.fromarray(pixels), "JPEG")):
        refused(given, "10×10 = 100 pixels, expected at most 99", max_pixels=99)
        assert read_image(given, max_pixels=100).shape == (10, 10, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", HEIF])
def test_truncation_at_any_place_is_an_image_error_or_an_image(kind: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(colours(32, 32)), kind)
    outcomes = set()
    for cut in [*range(1, 40), *range(40, len(data), max(len(data) // 40, 1))]:
        path = tmp_path / "cut.jpg"
        path.write_bytes(data[:cut])
        outcomes.add(outcome(path).removeprefix(f"{path}: ")[:7])
    assert len(outcomes) > 1  # the last few bytes of some formats hold no pixels
    assert outcomes <= {"(32, 32", "cannot ", "not a J"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", HEIF])
def test_flipped_bytes_raise_nothing_but_image_errors(kind: str) -> None:
    data = encoded(Image.fromarray(colours(16, 16)), kind)
    generator = np.random.default_rng(1)
    for _ in range(60):
        broken = bytearray(data)
        for position in generator.integers(0, min(len(data), 300), 3):
            broken[position] = generator.integers(0, 256)
        assert outcome(bytes(broken), max_pixels=1_000_000).isprintable()


def test_files_that_are_no_images(tmp_path: Path) -> None:
    cases = {"text.jpg": b"hello, I am text", "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n", "empty.png": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        text = refused(tmp_path / name, "empty file" if not content else f"not a {FORMATS}")
        assert text.startswith(str(tmp_path / name))
    refused(b"", "no bytes")
    refused(tmp_path / "absent.jpg", "absent.jpg: no such file")
    refused(tmp_path, "not a file")
    refused("nul\0.jpg", "cannot be opened")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setattr("builtins.open", forbidden)
    refused(tmp_path / "a.png", r"a\.png: cannot be opened \(Permission denied\)")


@pytest.mark.parametrize("kind", ["PPM", "TGA", "ICO", "PDF", "EPS", "PCX", "SGI"])
def test_other_formats_of_pillow_are_refused(kind: str) -> None:
    refused(encoded(Image.new("RGB", (16, 16)), kind), "not a JPEG")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "not a file")


def test_odd_names_work_and_are_shown_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a b\nc é 猫.png"
    Image.new("RGB", (2, 3)).save(path)
    assert read_image(path).shape == (3, 2, 3)
    path.write_bytes(b"broken")
    assert r"a b\nc" in refused(path, "not a JPEG")
