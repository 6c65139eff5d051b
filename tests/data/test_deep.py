"""Greys and colours of more than 8 bits become the documented 8."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from encoded import encoded, png_chunk, refused
from vitascope.data.images import read_image
from vitascope.data.remarks import DARK, listening


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    grey = read_image(encoded(Image.fromarray(values), kind))[0, :, 0]
    assert grey.tolist() == [0, 0, 1, 1, 128, 255]


def test_big_endian_16_bit_tiff() -> None:
    pixels = struct.pack(">2H", 257 * 3, 257 * 200)
    tags = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 4)]
    directory = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = b"MM\0*" + struct.pack(">I", 12) + pixels + struct.pack(">H", len(tags)) + directory + bytes(4)
    assert read_image(data, channels=1)[0, :, 0].tolist() == [3, 200]


def test_16_bit_transparent_grey_is_white() -> None:
    values = np.array([[1000, 2000]], np.uint16)
    stream = io.BytesIO()
    image = Image.fromarray(values)
    image.save(stream, "PNG", transparency=1000)
    assert read_image(stream.getvalue(), channels=1)[0, :, 0].tolist() == [255, (2000 + 128) // 257]


def test_integer_and_float_tiffs() -> None:
    wide = np.array([[0, 65535, 25700]], np.int32)
    assert read_image(encoded(Image.fromarray(wide), "TIFF"), channels=1)[0, :, 0].tolist() == [0, 255, 100]
    refused(encoded(Image.fromarray(np.array([[70000]], np.int32)), "TIFF"), "32-bit pixels outside 0…65535")
    floats = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert read_image(encoded(Image.fromarray(floats), "TIFF"), channels=1)[0, :, 0].tolist() == [0, 128, 255]
    refused(encoded(Image.fromarray(floats * 255), "TIFF"), "float pixels outside 0…1")
    refused(encoded(Image.fromarray(floats * np.nan), "TIFF"), "float pixels outside 0…1")


def tiff_of_12_bits(values: list[int]) -> bytes:
    bits = "".join(f"{value:012b}" for value in values)
    pixels = int(bits, 2).to_bytes(len(bits) // 8, "big")
    tags = [
        (256, len(values)),
        (257, 1),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, len(pixels)),
    ]
    directory = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    padded = pixels + bytes(-len(pixels) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + struct.pack("<H", len(tags)) + directory + bytes(4)


def test_bits_that_a_file_states_are_believed() -> None:
    def grey(data: bytes) -> tuple[list[int], set[str]]:
        with listening() as heard:
            return read_image(data, channels=1)[0, :, 0].tolist(), heard

    assert grey(tiff_of_12_bits([0, 2048, 4095, 8])) == ([0, 128, 255, 0], set())
    stored = np.array([[0, 2048, 4095, 1001]], np.uint16)
    plain = encoded(Image.fromarray(stored), "PNG")
    with_bits = plain[:33] + png_chunk(b"sBIT", b"\x0c") + plain[33:]
    assert grey(with_bits) == ([0, 128, 255, 62], set())
    assert grey(plain) == ([0, 8, 16, 4], {DARK})  # nothing says that they are 12 bits; whoever reads many says so
    scaled = stored << 4 | stored >> 8  # as the PNG specification asks: sBIT says only where the values came from
    dark = np.array([[0, 0x0110, 0x0220]], np.uint16)
    for values in (scaled, dark):
        data = encoded(Image.fromarray(values), "PNG")
        marked = data[:33] + png_chunk(b"sBIT", b"\x0c") + data[33:]
        assert grey(marked)[0] == grey(data)[0] == ((values[0].astype(int) + 128) // 257).tolist()
    assert grey(encoded(Image.new("I;16", (2, 1)), "PNG")) == ([0, 0], set())  # black is black


def test_dark_16_bit_colours_are_remarked() -> None:
    def png(value: int) -> bytes:
        rows = zlib.compress(b"\0" + struct.pack(">6H", *[value] * 6))
        header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            png_chunk(kind, data) for kind, data in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
        )

    for value, remarks in ((4095, {DARK}), (4096, set()), (0, set())):
        with listening() as heard:
            assert read_image(png(value)).max() == value >> 8
        assert heard == remarks
    with listening() as heard:
        read_image(encoded(Image.new("RGB", (2, 2), (9, 9, 9)), "PNG"))
    assert heard == set()
