"""A part of a JPEG is the same pixels as in the whole, and costs only the rows above its end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter, JpegImagePlugin

from vitascope.data import picture as module
from vitascope.data.images import read_image
from vitascope.data.picture import open_image, shortened
from vitascope.errors import ImageError

BOXES = [(0, 0, 203, 151), (0, 0, 1, 1), (202, 150, 1, 1), (17, 30, 60, 40), (120, 3, 25, 148), (15, 0, 1, 151)]
KINDS: dict[str, dict[str, Any]] = {
    "colours at half size": {"subsampling": 2},
    "colours at half width": {"subsampling": 1},
    "full colours": {"subsampling": 0},
    "restart markers": {"subsampling": 2, "restart_marker_blocks": 3},
    "own tables": {"subsampling": 2, "optimize": True},
    "progressive": {"subsampling": 2, "progressive": True},
}


def picture(mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (203, 151, 3), dtype=np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)).convert(mode)


def saved(mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def assert_parts_are_the_wholes(data: bytes, channels: int = 3) -> None:
    whole = read_image(data, channels=channels)
    opened = open_image(data)
    assert opened.size == whole.shape[:2]
    for top, left, height, width in BOXES:
        if opened.size[0] < opened.size[1]:
            top, left, height, width = left, top, width, height
        part = opened.part((top, left, height, width), channels)
        assert np.array_equal(part[:, :, :channels], whole[top : top + height, left : left + width])


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_those_of_the_whole(kind: str) -> None:
    assert_parts_are_the_wholes(saved(**KINDS[kind]))


def test_bytes_that_fill_up_before_markers_are_passed_over() -> None:
    data = saved(subsampling=2)
    filled = data.replace(b"\xff\xdb", b"\xff\xff\xff\xdb")
    assert shortened(filled, 40) != filled != data
    assert_parts_are_the_wholes(filled)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_parts_of_other_colours(mode: str, channels: int) -> None:
    assert_parts_are_the_wholes(saved(mode), channels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_parts_of_turned_images(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_parts_are_the_wholes(saved(exif=exif))


def test_rows_below_the_part_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    reader = JpegImagePlugin.JpegImageFile

    class Watched(reader):  # type: ignore[misc, valid-type]
        def load(self) -> Any:
            decoded.append(self.size[1])
            return super().load()

    opened = open_image(saved())
    monkeypatch.setattr(JpegImagePlugin, "JpegImageFile", Watched)
    opened.part((10, 0, 40, 50))
    assert set(decoded) == {58}


def test_only_files_with_all_rows_in_one_scan_are_shortened() -> None:
    assert shortened(saved(), 50) != saved()
    assert shortened(saved(), 203) == saved()
    assert shortened(saved(progressive=True), 50) == saved(progressive=True)
    assert shortened(b"\xff\xd8\xff", 50) == b"\xff\xd8\xff"


def test_an_odd_file_is_decoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved()
    opened = open_image(data)
    monkeypatch.setattr(module, "shortened", lambda data, rows: data[:200])
    assert np.array_equal(opened.part((10, 0, 40, 50))[:, :, :3], read_image(data)[10:50, :50])


def test_large_images_that_pillow_keeps_in_pieces() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((2400, 2000)).save(stream, "JPEG")
    whole = read_image(stream.getvalue())
    assert np.array_equal(open_image(stream.getvalue()).part((5, 3, 1980, 2000)), whole[5:1985, 3:2003])


def test_damage_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(saved()[:-2000])
    opened = open_image(path)
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be decoded .*truncated"):
        opened.part((0, 0, 203, 151))
    path.write_bytes(saved()[:30])
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be decoded"):
        open_image(path)
    monkeypatch.setattr(module, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match=r"203 = 30,653 pixels, expected at most 100"):
        open_image(saved())


def test_other_files_are_decoded_at_once(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    assert np.array_equal(open_image(tmp_path / "a.png").read(), picture())
    for missing in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(ImageError, match=r"no such file|not a file"):
            open_image(missing)
