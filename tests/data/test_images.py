"""Every kind of image becomes the documented array, or an ImageError on one line."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitascope.data import images
from vitascope.data.formats import EXTENSIONS, FORMATS, READS_HEIC, format_of
from vitascope.data.images import MAX_PIXELS, read_image
from vitascope.data.picture import open_image
from vitascope.data.remarks import DAMAGED_EXIF, DARK, listening
from vitascope.errors import ConfigError, ImageError

HEIF = pytest.param("HEIF", marks=pytest.mark.skipif(not READS_HEIC, reason="the extra heic is not installed"))
if READS_HEIC:
    import pillow_heif

    pillow_heif.register_heif_opener()  # for writing them


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def colours(height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def refused(image: object, match: str, **options: object) -> str:
    with pytest.raises(ImageError, match=match) as caught:
        read_image(image, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    return text


def outcome(image: object, **options: object) -> str:
    """The shape, or the message of an ImageError; any other error is a failure."""
    try:
        return str(read_image(image, **options).shape)  # type: ignore[arg-type]
    except ImageError as error:
        return str(error)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_return_the_pixels(kind: str, tmp_path: Path) -> None:
    pixels = colours()
    data = encoded(Image.fromarray(pixels), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array_equal(read_image(data), pixels)
    path = tmp_path / "no ending"  # the content decides, not the name
    path.write_bytes(data)
    for given in (path, str(path), bytearray(data), Image.fromarray(pixels), pixels):
        assert np.array_equal(read_image(given), pixels)  # type: ignore[arg-type]


def test_the_result_is_the_callers_own() -> None:
    pixels = colours()
    for given in (pixels, Image.fromarray(pixels), encoded(Image.fromarray(pixels), "PNG")):
        result = read_image(given)
        assert result.flags.writeable
        assert result.flags.c_contiguous
        result[:] = 0
    assert pixels.max() > 0


def test_jpeg_is_close_to_the_pixels_and_gif_exact_in_its_palette() -> None:
    smooth = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    jpeg = read_image(encoded(Image.fromarray(smooth), "JPEG", quality=95))
    assert np.abs(jpeg.astype(int) - smooth).max() <= 6
    frames = [Image.new("P", (5, 3), 1), Image.new("P", (5, 3), 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(read_image(gif), np.full((3, 5, 3), (10, 20, 30), np.uint8))


def test_only_the_first_page_of_a_tiff_is_read() -> None:
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert read_image(data)[0, 0].tolist() == [255, 0, 0]


def test_grey_is_repeated_and_colour_becomes_luma() -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    data = encoded(Image.fromarray(grey), "PNG")
    assert np.array_equal(read_image(data), np.repeat(grey[:, :, None], 3, 2))
    assert np.array_equal(read_image(data, channels=1), grey[:, :, None])
    red = read_image(encoded(Image.new("RGB", (2, 2), (255, 0, 0)), "PNG"), channels=1)
    assert red.shape == (2, 2, 1)
    assert red[0, 0, 0] == 76  # 0.299 × 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparency_is_composited_on_white(mode: str) -> None:
    if mode == "RGBA":
        data = encoded(Image.new("RGBA", (2, 2), (200, 0, 0, 0)), "PNG")
    elif mode == "LA":
        data = encoded(Image.new("LA", (2, 2), (7, 0)), "PNG")
    elif mode == "P":
        image = Image.new("P", (2, 2), 1)
        image.putpalette([0, 0, 0, 9, 9, 9])
        data = encoded(image, "PNG", transparency=1)
    elif mode == "L":
        data = encoded(Image.new("L", (2, 2), 5), "PNG", transparency=5)
    else:
        data = encoded(Image.new("RGB", (2, 2), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert (read_image(data) == 255).all()
    assert (read_image(data, channels=1) == 255).all()


def test_half_transparency_mixes_with_white() -> None:
    data = encoded(Image.new("RGBA", (1, 1), (100, 0, 200, 128)), "PNG")
    expected = [255 + (colour - 255) * 128 / 255 for colour in (100, 0, 200)]
    assert np.abs(read_image(data)[0, 0].astype(float) - expected).max() <= 1
    assert read_image(np.array([[[100, 0, 200, 128]]], np.uint8)).tolist() == read_image(data).tolist()


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


def test_cmyk_jpeg_is_not_inverted() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)  # cyan off: red
    red, green, blue = read_image(data)[8, 8]
    assert red > 245
    assert green < 10
    assert blue < 10


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    # What the file stores for each orientation, from the upright image; by the EXIF definition of row 0 and column 0.
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = (255, 0, 0)
    upright[8:, :16] = (0, 255, 0)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100, "subsampling": 0},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }.get(kind, {})
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    result = read_image(data)
    assert result.shape == upright.shape
    assert np.abs(result.astype(int) - upright).max() <= (4 if "quality" in options else 0)


@pytest.mark.parametrize("kind", ["AVIF", HEIF])
def test_phones_formats_are_close_to_the_pixels_and_bounded(kind: str) -> None:
    pixels = np.full((24, 40, 3), (10, 200, 90), np.uint8)
    data = encoded(Image.fromarray(pixels), kind, quality=90)
    assert np.abs(read_image(data).astype(int) - pixels).max() < 6
    refused(data, "40×24 = 960 pixels, expected at most 959", max_pixels=959)
    at = data.index(b"ispe") + 8
    refused(data[:at] + struct.pack(">2I", 20_000, 20_000) + data[at + 8 :], "20000×20000|cannot be decoded")


def test_a_heic_image_is_turned_by_its_own_rotation_alone() -> None:
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    with listening() as odd:
        read_image(encoded(Image.new("RGB", (32, 16)), "HEIF"))  # no EXIF at all is no damaged one
    assert not odd
    exif = Image.Exif()
    exif[0x0112] = 6  # which ISO/IEC 23008-12 does not let a reader apply
    assert read_image(encoded(Image.new("RGB", (32, 16)), "HEIF", exif=exif)).shape == (16, 32, 3)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", None),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"P5\n4 4\n255\n", "Netpbm"),
        (b"", None),
    ],
)
def test_formats_are_told_by_content(header: bytes, name: str | None) -> None:
    assert format_of(header) == name


def test_what_is_not_read_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(b"\xff\x0a" + bytes(20), "a JPEG XL image, not a JPEG.*convert", name="x.jpg")
    monkeypatch.delitem(images._READERS, "HEIC", raising=False)
    text = refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"a HEIC image.*pip install 'vitascope\[heic\]'")
    assert len(text) < 200


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


def damaged_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a camera of a long name"
    return encoded(Image.new("RGB", (16, 16)), "JPEG", exif=exif.tobytes()[:-14])


def test_damaged_exif_is_a_remark_and_no_warning_in_any_thread() -> None:
    # Warnings are errors here: one that got through would be raised where it is made, and change nothing. So count.
    results: list[set[str]] = []

    def one(data: bytes) -> None:
        with listening() as heard:
            read_image(data)
            results.append(set(heard))

    broken, whole = damaged_exif(), encoded(Image.new("RGB", (16, 16)), "JPEG")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=one, args=(data,)) for data in [broken, whole] * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        open_image(broken).part((0, 0, 8, 8))
        warnings.warn("of somebody else", UserWarning, stacklevel=1)
    assert sorted(map(len, results)) == [0] * 8 + [1] * 8
    assert {kind for heard in results for kind in heard} == {DAMAGED_EXIF}
    assert [str(warning.message) for warning in caught] == ["of somebody else"]


def test_damaged_exif_does_not_hide_the_image() -> None:
    data = encoded(Image.new("RGB", (8, 8)), "PNG")
    broken = data[:33] + png_chunk(b"eXIf", b"not exif at all") + data[33:]
    assert read_image(broken).shape == (8, 8, 3)


def test_draft_decodes_smaller_but_never_below_the_size_asked_for() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(colours(100, 200))
    assert read_image(encoded(picture, "JPEG"), draft=(50, 50)).shape == (50, 100, 3)
    assert read_image(encoded(picture, "JPEG"), draft=(51, 50)).shape == (100, 200, 3)
    assert read_image(encoded(picture, "JPEG", exif=exif), draft=(100, 50)).shape == (100, 50, 3)
    assert read_image(encoded(picture, "PNG"), draft=(50, 50)).shape == (100, 200, 3)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


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
    monkeypatch.setattr(Path, "open", forbidden)
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


def test_arrays() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(read_image(grey), np.repeat(grey[:, :, None], 3, 2))
    assert np.array_equal(read_image(grey[:, :, None]), np.repeat(grey[:, :, None], 3, 2))
    assert np.array_equal(read_image(grey, channels=1), grey[:, :, None])
    assert read_image(np.stack([grey, np.zeros_like(grey)], -1)).min() == 255  # grey + alpha, transparent
    five = np.zeros((3, 4, 5), np.uint8)
    assert read_image(five, channels=5).shape == (3, 4, 5)
    assert np.array_equal(read_image(colours()[::-1, ::-1]), colours()[::-1, ::-1])
    text = refused(np.zeros((3, 4, 3), np.float32), "float32 array, expected uint8", name="pixels")
    assert "multiply by 255" in text
    refused(np.zeros((3, 4, 3), np.int64), "int64 array, expected uint8")
    refused(np.zeros((3, 8, 8), np.uint8), "channels-first")
    refused(np.zeros((1, 3, 4, 3), np.uint8), "one image at a time")
    refused(np.zeros((0, 4, 3), np.uint8), "shape")
    refused(3.5, "received float")


def test_channels_other_than_1_and_3_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="channels=4"):
        read_image(encoded(Image.new("RGB", (2, 2)), "PNG"), channels=4)


def test_many_threads_read_alike() -> None:
    data = encoded(Image.fromarray(colours(64, 64)), "PNG")
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(read_image(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(result, results[0]) for result in results)


def test_endings_are_lower_case() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"} <= EXTENSIONS
    assert all(ending == ending.lower() and ending.startswith(".") for ending in EXTENSIONS)
