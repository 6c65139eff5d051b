"""Near copies are found, and different pictures of one kind are not taken for them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from vitascope.data.alike import SIDE, near_pairs


def scene(seed: int, height: int = 150, width: int = 200) -> Image.Image:
    """A picture of light, large shapes and fine texture."""
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.integers(0, 256, (k, k, 3), dtype=np.uint8)) for k in (3, 9, 40)]
    wide = [np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), np.float32) for layer in layers]
    return Image.fromarray((0.4 * wide[0] + 0.35 * wide[1] + 0.25 * wide[2]).clip(0, 255).astype(np.uint8))


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    w, h = image.size
    return image.crop((round(left * w), round(top * h), round((1 - right) * w), round((1 - bottom) * h)))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded anew": lambda x: encoded(x, 40),
    "half the size": lambda x: x.resize((x.width // 2, x.height // 2)),
    "brighter": lambda x: ImageEnhance.Brightness(x).enhance(1.15),
    "darker, encoded": lambda x: encoded(ImageEnhance.Brightness(x).enhance(0.85), 60),
    "blurred": lambda x: x.filter(ImageFilter.GaussianBlur(3)),
    "cut all round": lambda x: cut(x, 0.04, 0.04, 0.04, 0.04),
    "cut on one side": lambda x: cut(x, 0.08, 0, 0, 0),
    "cut, smaller, encoded": lambda x: encoded(cut(x, 0.03, 0.02, 0.03, 0.02).resize((100, 75)), 60),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(change: str) -> None:
    scenes = [scene(seed) for seed in range(40)]
    pairs = near_pairs(np.stack([small(x) for x in [*scenes, *(CHANGES[change](x) for x in scenes[:10])]]))
    assert pairs.tolist() == [[i, 40 + i] for i in range(10)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_mirrored_copy_is_found(change: str) -> None:
    scenes = [scene(seed) for seed in range(40)]
    copies = [CHANGES[change](x).transpose(Image.Transpose.FLIP_LEFT_RIGHT) for x in scenes[:10]]
    pictures = np.stack([small(x) for x in [*scenes, *copies]])
    assert near_pairs(pictures, mirrored=True).tolist() == [[i, 40 + i] for i in range(10)]
    assert len(near_pairs(pictures)) == 0


@pytest.mark.parametrize("mirrored", [False, True])
def test_of_what_is_added_only(mirrored: bool) -> None:
    scenes = [scene(seed) for seed in range(12)]
    copies = [x.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else encoded(x, 50) for x in scenes[:4]]
    plain = np.full((1, SIDE, SIDE), 90, np.uint8)
    pictures = np.concatenate([plain, np.stack([small(x) for x in [*scenes, *copies]])])
    expected = [[i, 12 + i] for i in range(1, 5)]
    assert near_pairs(pictures, mirrored=mirrored).tolist() == expected
    assert near_pairs(pictures, mirrored=mirrored, rows=np.arange(15, 17)).tolist() == expected[2:]
    assert near_pairs(pictures, mirrored=mirrored, rows=np.arange(17, 17)).tolist() == []


def test_pictures_of_one_light_are_not_copies() -> None:
    light = np.asarray(scene(0), np.float32)
    others = [Image.fromarray((0.6 * light + 0.4 * np.asarray(scene(s))).astype(np.uint8)) for s in range(1, 60)]
    for mirrored in (False, True):
        assert len(near_pairs(np.stack([small(x) for x in others]), mirrored=mirrored)) == 0


def test_different_things_in_one_frame_or_before_one_background_are_not_copies() -> None:
    """A white border, or one silhouette before white, is most of what such pictures show; only their insides differ."""
    y, x = np.mgrid[-1:1:150j, -1:1:200j]
    for inside in (np.maximum(abs(y), abs(x)) < 0.85, y**2 + x**2 < 0.8):
        shown = [np.where(inside, np.asarray(scene(s).convert("L")), 255) for s in range(40)]
        pictures = [Image.fromarray(each.astype(np.uint8)) for each in shown]
        again = [encoded(x, 50) for x in pictures[:5]]
        pairs = near_pairs(np.stack([small(x) for x in [*pictures, *again]]))
        assert pairs.tolist() == [[i, 40 + i] for i in range(5)]


def test_plain_pictures_and_few_pictures() -> None:
    plain = np.full((5, SIDE, SIDE), 90, np.uint8)
    assert near_pairs(plain).shape == (0, 2)
    assert near_pairs(plain[:0]).shape == (0, 2)
    assert near_pairs(small(scene(1))[None]).shape == (0, 2)
    assert near_pairs(np.stack([plain[0], *[small(scene(1))] * 2])).tolist() == [[1, 2]]


def test_photographs(real_data: Path) -> None:
    """None of 397 photographs of two kinds of insects is a copy of another; of each change nearly all are found."""
    files = sorted((real_data / "ants_bees").glob("*/*/*.jpg"))
    images = [Image.open(file).convert("RGB") for file in files]
    for mirrored in (False, True):
        assert len(near_pairs(np.stack([small(x) for x in images]), mirrored=mirrored)) == 0
    some = images[::20]
    for change, to in CHANGES.items():
        pairs = near_pairs(np.stack([small(x) for image in some for x in (image, to(image))]))
        assert {(2 * i, 2 * i + 1) for i in range(len(some))} >= set(map(tuple, pairs.tolist())), change
        assert len(pairs) >= len(some) - 1, change
