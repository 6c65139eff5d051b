from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitascope.data.augment import Augment, erase, inception_box, rotate_and_zoom, shift
from vitascope.data.images import read_image
from vitascope.data.picture import open_image
from vitascope.data.preprocess import Preprocess
from vitascope.data.resize import resample
from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError

SIZE = Preprocess(size=(32, 32))
AREA, RATIO = (0.05, 1.0), (3 / 4, 4 / 3)
NOTHING = AugmentConfig(crop="none", flip=False)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (200, 200), (32, 32)])
def test_inception_boxes_lie_within_bounds_and_use_them(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([inception_box(*shape, AREA, RATIO, rng) for _ in range(2000)], float)
    top, left, height, width = boxes.T
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + height).max() <= shape[0]
    assert (left + width).max() <= shape[1]
    # Sizes are whole pixels, so each bound holds for a box up to a pixel larger or smaller.
    assert ((height + 1) * (width + 1) / np.prod(shape)).min() >= AREA[0]
    assert ((width + 0.5) / (height - 0.5)).min() >= RATIO[0]
    assert ((width - 0.5) / (height + 0.5)).max() <= RATIO[1]
    area = height * width / np.prod(shape)
    assert area.min() < 0.07
    assert area.max() > 0.85
    # TensorFlow draws the side uniformly, not the area: for squares the mean area is about (1 + s + s²)/3, s = √0.05.
    assert 0.3 < area.mean() < 0.45
    assert (width / height).min() < 0.8
    assert (width / height).max() > 1.25
    for start, free in ((top, shape[0] - height), (left, shape[1] - width)):
        assert 0.45 < (start[free > 4] / free[free > 4]).mean() < 0.55


def test_inception_side_is_uniform() -> None:
    rng = np.random.default_rng(1)
    heights = np.array([inception_box(1000, 1000, (0.25, 1.0), (1.0, 1.0), rng)[2] for _ in range(2000)])
    counts = np.histogram(heights, bins=5, range=(500, 1000))[0]
    assert counts.min() > 330
    assert counts.max() < 470


@pytest.mark.parametrize("shape", [(1, 1), (1, 10000), (10000, 1), (2, 3)])
def test_shapes_without_such_a_box_are_kept_whole(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        top, left, height, width = inception_box(*shape, AREA, RATIO, rng)
        assert height >= 1
        assert width >= 1
        assert top + height <= shape[0]
        assert left + width <= shape[1]
    if max(shape) == 10000:
        assert inception_box(*shape, AREA, RATIO, rng) == (0, 0, *shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10000), (10000, 1), (20, 30)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("crop", ["inception", "shift", "none"])
def test_any_shape_becomes_the_size(shape: tuple[int, int], channels: int, crop: str) -> None:
    config = AugmentConfig(crop=crop, randaugment_layers=2, erasing=1.0)  # type: ignore[arg-type]
    augment = Augment(config, Preprocess(size=(24, 32), channels=channels))
    result = augment(noise(*shape, channels), np.random.default_rng(0))
    assert result.shape == (24, 32, channels)
    assert result.dtype == np.uint8


def test_flip_rate() -> None:
    image = noise(32, 32)
    augment = Augment(AugmentConfig(crop="none"), SIZE)
    flips = 0
    for seed in range(2000):
        result = augment(image, np.random.default_rng(seed))
        flipped = np.array_equal(result, image[:, ::-1])
        assert flipped or np.array_equal(result, image)
        flips += flipped
    assert 900 < flips < 1100


def test_randomness_comes_from_the_generator_alone() -> None:
    image = noise(60, 80)
    augment = Augment(AugmentConfig(randaugment_layers=2, erasing=0.5), SIZE)
    again = pickle.loads(pickle.dumps(augment))  # as a spawned loader worker receives it
    for index in range(20):
        one = augment(image, np.random.default_rng((0, 3, index)))
        assert np.array_equal(one, again(image, np.random.default_rng((0, 3, index))))
    assert len({augment(image, np.random.default_rng((0, e, 0))).tobytes() for e in range(20)}) == 20


def test_none_is_the_evaluation_geometry() -> None:
    image = noise(60, 80)
    for preprocess in (SIZE, Preprocess(size=(32, 48), fit="squash", crop_fraction=0.8, antialias=False)):
        result = Augment(NOTHING, preprocess)(image, np.random.default_rng(0))
        assert np.array_equal(result, preprocess.resize(image))


def test_inception_uses_the_filter_of_the_preprocessing() -> None:
    image = noise(200, 200)
    results = {
        Augment(AugmentConfig(), preprocess)(image, np.random.default_rng(1)).tobytes()
        for preprocess in (
            SIZE,
            dataclasses.replace(SIZE, antialias=False),
            dataclasses.replace(SIZE, interpolation="bicubic"),
        )
    }
    assert len(results) == 3


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("shape", [(375, 500, 3), (40, 30, 3), (33, 500, 1), (20, 400, 4), (1, 1, 3), (1, 900, 3)])
def test_the_quick_resampling_is_within_two_levels_of_pillow(interpolation: Any, shape: tuple[int, int, int]) -> None:
    image = np.asarray(Image.fromarray(noise(60, 80)).resize(shape[1::-1], Image.Resampling.BICUBIC))
    image = np.concatenate([image, image], axis=2)[:, :, : shape[2]]
    quick = resample(image, (224, 160), interpolation=interpolation, quick=True)
    exact = resample(image, (224, 160), interpolation=interpolation)
    assert quick.shape == (224, 160, shape[2])
    assert np.abs(quick.astype(int) - exact).max() <= 2


def test_an_opened_jpeg_is_augmented_as_its_pixels_are(tmp_path: Path) -> None:
    Image.fromarray(noise(60, 80)).save(tmp_path / "a.jpg")
    opened = open_image(tmp_path / "a.jpg")
    for crop in ("inception", "shift", "none"):
        for preprocess in (SIZE, Preprocess(size=(32, 32), channels=1)):
            augment = Augment(AugmentConfig(crop=crop), preprocess)  # type: ignore[arg-type]
            pixels = read_image(tmp_path / "a.jpg", channels=preprocess.channels)
            for seed in range(5):
                one, other = (augment(image, np.random.default_rng(seed)) for image in (opened, pixels))
                assert np.array_equal(one, other)


def test_shift_moves_by_up_to_the_given_pixels() -> None:
    image = noise(16, 16)
    seen = set()
    for seed in range(300):
        moved = shift(image, 2, "zero", np.random.default_rng(seed))
        assert moved.shape == image.shape
        offsets = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.array_equal(
                moved[max(0, -dy) : 16 - max(0, dy), max(0, -dx) : 16 - max(0, dx)],
                image[max(0, dy) : 16 + min(0, dy), max(0, dx) : 16 + min(0, dx)],
            )
        ]
        assert len(offsets) == 1
        seen.add(offsets[0])
    assert len(seen) == 25


class Drawn(np.random.Generator):
    """A generator whose uniform numbers are given."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.numbers = iter(numbers)

    def random(self, *_: Any, **__: Any) -> Any:
        return next(self.numbers)


@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_quarter_turns(mode: str, channels: int) -> None:
    image = noise(16, 16, channels)
    turned = rotate_and_zoom(image, 90, 0, mode, Drawn(1.0, 0.5, 0.5))
    np.testing.assert_allclose(turned.astype(int), np.rot90(image), atol=1)  # Pillow rounds down
    back = rotate_and_zoom(turned, 90, 0, mode, Drawn(0.0, 0.5, 0.5))
    np.testing.assert_allclose(back.astype(int), image, atol=2)


def test_zoom_keeps_the_centre_and_scales_about_it() -> None:
    rows = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 2, (64, 48, 1))
    taller = rotate_and_zoom(np.ascontiguousarray(rows), 0, 0.5, "zero", Drawn(0.5, 1.0, 0.5))  # 1.5 times as tall
    middle = taller[:, 24, 0].astype(float)
    assert abs(middle[31:33].mean() - 63) < 1.5
    assert abs((middle[40] - middle[24]) - 16 * 2 / 1.5) < 2.5
    smaller = rotate_and_zoom(np.full((64, 48, 3), 200, np.uint8), 0, 0.5, "zero", Drawn(0.5, 0.0, 0.0))
    assert (smaller[32, 24] == 200).all()
    assert abs((smaller == 200).mean() - 0.25) < 0.04
    mirrored = rotate_and_zoom(np.full((64, 48, 3), 200, np.uint8), 0, 0.5, "reflect", Drawn(0.5, 0.0, 0.0))
    assert (mirrored == 200).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (24, 32)])
@pytest.mark.parametrize("mode", ["zero", "reflect"])
def test_rotation_and_zoom_of_any_shape(shape: tuple[int, int], mode: str) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    for seed in range(20):
        moved = rotate_and_zoom(image, 30, 0.2, mode, np.random.default_rng(seed))
        assert moved.shape == image.shape
        if mode == "reflect" and min(shape) > 1:
            assert (moved == 90).all()


def test_erasing_replaces_one_rectangle_by_noise() -> None:
    image = np.full((64, 64, 3), 77, np.uint8)
    shares = []
    for seed in range(200):
        changed = (erase(image, np.random.default_rng(seed)) != 77).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.mean() > 0.99  # all of the rectangle, save the odd pixel that drew 77 three times
        shares.append(box.size / 64**2)
    assert min(shares) > 0.015
    assert max(shares) < 0.34
    assert 0.12 < np.mean(shares) < 0.2
    assert (image == 77).all()


def test_the_source_image_is_never_changed() -> None:
    image = noise(32, 32)
    image.flags.writeable = False
    for crop in ("inception", "shift", "none"):
        augment = Augment(AugmentConfig(crop=crop, rotate=9, zoom=0.1, randaugment_layers=2, erasing=1.0), SIZE)
        for seed in range(10):
            augment(image, np.random.default_rng(seed))


PER_IMAGE: dict[str, tuple[AugmentConfig, Any]] = {
    "crop": (AugmentConfig(), "none"),
    "crop_area": (AugmentConfig(), (0.5, 0.6)),
    "crop_ratio": (AugmentConfig(), (1.0, 1.0)),
    "pad_shift": (AugmentConfig(crop="shift"), 8),
    "pad_mode": (AugmentConfig(crop="shift"), "zero"),
    "rotate": (AugmentConfig(), 10.0),
    "zoom": (AugmentConfig(), 0.1),
    "flip": (AugmentConfig(), False),
    "randaugment_layers": (AugmentConfig(), 2),
    "randaugment_magnitude": (AugmentConfig(randaugment_layers=2), 3.0),
    "erasing": (AugmentConfig(), 1.0),
}
PER_BATCH = {"mixup", "cutmix", "mix_probability", "mix_switch"}  # in test_mix.py


def test_every_field_is_covered() -> None:
    assert PER_IMAGE.keys() | PER_BATCH == {f.name for f in dataclasses.fields(AugmentConfig)}


@pytest.mark.parametrize("name", PER_IMAGE)
def test_every_field_changes_something(name: str) -> None:
    base, other = PER_IMAGE[name]
    image = noise(64, 80)

    def results(config: AugmentConfig) -> bytes:
        return b"".join(Augment(config, SIZE)(image, np.random.default_rng(s)).tobytes() for s in range(8))

    assert results(base) != results(dataclasses.replace(base, **{name: other}))


def test_settings_that_do_not_suit_the_preprocessing() -> None:
    with pytest.raises(ConfigError, match="channels"):
        Augment(AugmentConfig(randaugment_layers=1), Preprocess(size=(32, 32), channels=5))
    with pytest.raises(ConfigError, match="pad_shift"):
        Augment(AugmentConfig(crop="shift", pad_shift=32), SIZE)


@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_a_shift_is_a_window_of_the_padded_image(mode: str) -> None:
    image = noise(9, 12)
    widths = ((5, 5), (5, 5), (0, 0))
    padded = np.pad(image, widths, mode="reflect") if mode == "reflect" else np.pad(image, widths)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        down, right = (int(rng.random() * 11) for _ in range(2))
        moved = shift(image, 5, mode, np.random.default_rng(seed))
        assert np.array_equal(moved, padded[down : down + 9, right : right + 12])
