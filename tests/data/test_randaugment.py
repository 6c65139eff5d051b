from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vitascope.data import randaugment as module
from vitascope.data.randaugment import OPERATIONS, Operation, randaugment
from vitascope.data.resize import to_array, to_pillow


@pytest.fixture
def photo() -> np.ndarray:
    """Smooth colours of limited range (so that autocontrast has work), 24 × 32."""
    coarse = np.random.default_rng(0).integers(40, 200, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((32, 24), Image.Resampling.BICUBIC))


def test_the_fourteen_operations_of_the_paper() -> None:
    assert len(set(OPERATIONS)) == 14


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sign", [-1, 1])
def test_each_operation_keeps_the_shape_and_changes_the_image(
    name: str, channels: int, sign: int, photo: np.ndarray
) -> None:
    image = photo[:, :, :channels]
    result = to_array(OPERATIONS[name](to_pillow(image), sign * 1.0))
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    unchanged = name == "identity" or (name == "colour" and channels == 1)
    assert np.array_equal(result, image) == unchanged


@pytest.mark.parametrize("name", OPERATIONS)
def test_strength_moves_away_from_the_image(name: str, photo: np.ndarray) -> None:
    def distance(strength: float) -> float:
        return float(np.abs(to_array(OPERATIONS[name](to_pillow(photo), strength)).astype(int) - photo).mean())

    if name in ("identity", "autocontrast", "equalise"):  # these have no strength
        assert distance(0.0) == distance(1.0)
    else:
        assert distance(0.0) < 0.01
        assert distance(0.3) < distance(1.0)


def test_geometry_leaves_grey() -> None:
    white = np.full((32, 32, 3), 255, np.uint8)
    moved = to_array(OPERATIONS["translate_x"](to_pillow(white), 1.0))
    gap = round(0.45 * 32)
    assert (moved[:, 32 - gap + 1 :] == 128).all()
    assert (moved[:, : 32 - gap - 1] == 255).all()


def test_known_values() -> None:
    ramp = to_pillow(np.arange(256, dtype=np.uint8).reshape(16, 16, 1))
    values = np.arange(256).reshape(16, 16, 1)
    assert np.array_equal(to_array(OPERATIONS["solarise"](ramp, -1.0)), 255 - values)
    assert np.array_equal(to_array(OPERATIONS["solarise"](ramp, 0.5)), np.where(values < 128, values, 255 - values))
    assert np.array_equal(to_array(OPERATIONS["posterise"](ramp, 1.0)), values & 0xF0)
    assert np.abs(to_array(OPERATIONS["brightness"](ramp, -1.0)) - 0.1 * values).max() <= 1


def test_draws_come_from_the_generator_alone(photo: np.ndarray) -> None:
    def draw(seed: int) -> np.ndarray:
        return randaugment(photo, 2, 9, np.random.default_rng(seed))

    assert np.array_equal(draw(3), draw(3))
    assert len({draw(seed).tobytes() for seed in range(40)}) > 25


def test_each_image_draws_its_own_operations(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def spy(index: int) -> Operation:
        def operation(image: Image.Image, strength: float) -> Image.Image:
            used.append(index)
            assert abs(strength) == pytest.approx(0.7)
            return image

        return operation

    monkeypatch.setattr(module, "OPERATIONS", {str(i): spy(i) for i in range(14)})
    rng = np.random.default_rng(0)
    for _ in range(1400):
        randaugment(photo, 1, 7, rng)
    counts = np.bincount(used, minlength=14)
    assert len(used) == 1400
    assert counts.min() > 60
    assert counts.max() < 140
    used.clear()
    for _ in range(300):
        randaugment(photo[:, :, :1], 1, 7, rng)
    assert max(used) == 12  # grey images never draw the colour operation, which is last


def test_layers_and_magnitude_matter(photo: np.ndarray) -> None:
    def draw(layers: int, magnitude: float) -> bytes:
        return b"".join(randaugment(photo, layers, magnitude, np.random.default_rng(s)).tobytes() for s in range(5))

    assert draw(0, 9) == photo.tobytes() * 5
    assert len({draw(1, 9), draw(2, 9), draw(2, 3)}) == 3
