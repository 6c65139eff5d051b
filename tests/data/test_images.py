"""Every kind of image becomes the documented array, or an ImageError on one line."""

from __future__ import annotations

import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoded import HEIF, colours, encoded, png_chunk, refused
from vitascope.data import images
from vitascope.data.formats import EXTENSIONS, format_of
from vitascope.data.images import read_image
from vitascope.data.picture import open_image
from vitascope.data.remarks import DAMAGED_EXIF, listening
from vitascope.errors import ConfigError


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
