from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from vitascope.data.preprocess import Preprocess
from vitascope.data.resize import Interpolation, resample
from vitascope.errors import CheckpointError, ConfigError


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def tensorflow_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """tf.image.resize(…, antialias=False) as its documentation states it, one output pixel at a time, float64."""
    result = np.empty((height, width, image.shape[2]))
    for i in range(height):
        for j in range(width):
            y = (i + 0.5) * image.shape[0] / height - 0.5
            x = (j + 0.5) * image.shape[1] / width - 0.5
            total = np.zeros(image.shape[2])
            for yy in (int(np.floor(y)), int(np.floor(y)) + 1):
                for xx in (int(np.floor(x)), int(np.floor(x)) + 1):
                    weight = (1 - abs(y - yy)) * (1 - abs(x - xx))
                    row = min(max(yy, 0), image.shape[0] - 1)
                    column = min(max(xx, 0), image.shape[1] - 1)
                    total += weight * image[row, column]
            result[i, j] = total
    return result


@pytest.mark.parametrize(("source", "size"), [((50, 37), (16, 24)), ((7, 9), (20, 20)), ((1, 5), (3, 3))])
def test_without_antialias_is_tensorflows_bilinear(source: tuple[int, int], size: tuple[int, int]) -> None:
    image = noise(*source)
    ours = Preprocess(size=size, fit="squash", antialias=False).resize(image)
    expected = tensorflow_bilinear(image, *size)
    assert ours.dtype == np.uint8
    assert np.abs(ours - expected).max() <= 0.5 + 1e-3  # nothing but the rounding to 8 bits


def test_antialias_averages_what_plain_bilinear_misses() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    averaged = Preprocess(size=(16, 16)).resize(stripes)[2:-2, 2:-2]
    # At a 1.6-fold reduction, two taps see now more of a bright column, now more of a dark one: moiré.
    smooth = Preprocess(size=(40, 40)).resize(stripes)[4:-4, 4:-4].std()
    moire = Preprocess(size=(40, 40), antialias=False).resize(stripes)[4:-4, 4:-4].std()
    assert np.abs(averaged.astype(int) - 127).max() <= 12
    assert moire > 1.3 * smooth


def test_squash_keeps_every_corner_and_crop_keeps_the_middle() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :20, 0] = 255  # left quarter red, right quarter blue: both outside the middle square
    image[:, 60:, 2] = 255
    squashed = Preprocess(size=(20, 20), fit="squash").resize(image)
    cropped = Preprocess(size=(20, 20), fit="crop").resize(image)
    assert squashed[:, :4, 0].min() == 255
    assert squashed[:, 16:, 2].min() == 255
    assert squashed[:, 7:13].max() == 0
    assert cropped[:, 2:18].max() == 0


def test_crop_fraction_cuts_the_border_for_both_fits() -> None:
    image = np.full((64, 64, 3), 255, np.uint8)
    image[8:56, 8:56] = 0
    for fit in ("crop", "squash"):
        whole = Preprocess(size=(32, 32), fit=fit).resize(image)
        middle = Preprocess(size=(32, 32), fit=fit, crop_fraction=0.5).resize(image)
        assert whole[0, 0, 0] == 255
        assert middle.max() == 0


@pytest.mark.parametrize("fraction", [0.875, 0.9, 1.0])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_crop_equals_resizing_all_then_cropping(fraction: float, interpolation: Interpolation) -> None:
    image = noise(75, 101)
    size = 56
    inner = int(size / fraction + 1e-6)
    long = int(inner * 101 / 75)
    resized = Image.fromarray(image).resize((long, inner), getattr(Image.Resampling, interpolation.upper()))
    top, left = (inner - size) // 2, (long - size) // 2
    expected = np.asarray(resized)[top : top + size, left : left + size].astype(int)
    ours = Preprocess(size=(size, size), crop_fraction=fraction, interpolation=interpolation).resize(image)
    assert np.abs(ours - expected).max() <= 1


def test_each_interpolation_differs() -> None:
    image = noise(40, 40)
    results = [
        Preprocess(size=(31, 31), interpolation=name).resize(image)
        for name in ("nearest", "bilinear", "bicubic", "lanczos")
    ]
    for i, one in enumerate(results):
        for other in results[i + 1 :]:
            assert (one != other).any()


def test_same_size_is_untouched() -> None:
    image = noise(32, 32)
    assert np.array_equal(Preprocess(size=(32, 32)).resize(image), image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10000), (10000, 1), (3, 5), (20, 20)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_any_shape_becomes_the_size(
    shape: tuple[int, int], channels: int, antialias: bool, fit: Literal["crop", "squash"]
) -> None:
    preprocess = Preprocess(size=(24, 32), channels=channels, antialias=antialias, fit=fit, crop_fraction=0.875)
    result = preprocess(np.full((*shape, channels), 200, np.uint8))
    assert result.shape == (channels, 24, 32)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, torch.full_like(result, (200 - 127.5) / 127.5), rtol=0, atol=0)


def test_many_channels_are_resampled_one_by_one() -> None:
    image = noise(40, 30, channels=5)
    result = Preprocess(size=(16, 16), channels=5).resize(image)
    for c in range(5):
        alone = Preprocess(size=(16, 16), channels=1).resize(image[:, :, c : c + 1])
        assert np.array_equal(result[:, :, c : c + 1], alone)


def test_path_bytes_pillow_and_array_agree(tmp_path: Path) -> None:
    image = noise(33, 47)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(buffer.getvalue())
    preprocess = Preprocess(size=(16, 16))
    expected = preprocess(image)
    for form in (path, str(path), buffer.getvalue(), Image.fromarray(image)):
        assert torch.equal(preprocess(form), expected)


def test_call_is_read_resize_normalise() -> None:
    image = noise(33, 47)
    preprocess = Preprocess(size=(16, 16), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    batch = torch.from_numpy(preprocess.resize(image)).permute(2, 0, 1)[None]
    assert torch.equal(preprocess(image), preprocess.normalise(batch)[0])


def test_read_only_arrays_are_fine() -> None:
    image = noise(16, 16, channels=1)
    image.flags.writeable = False
    assert Preprocess(size=(16, 16), channels=1)(image).shape == (1, 16, 16)


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.5,)), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def test_one_image_is_normalised_as_a_batch_is_to_the_last_bit(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    preprocess = Preprocess(size=(16, 16), mean=mean, std=std)
    assert torch.equal(preprocess(levels), preprocess.normalise(torch.from_numpy(levels.transpose(2, 0, 1).copy())))


def test_normalise_half_is_the_official_formula_exactly() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    result = Preprocess(size=(16, 16)).normalise(values)
    assert torch.equal(result, (values.float() - 127.5) / 127.5)
    assert result.min() == -1
    assert result.max() == 1


def test_normalise_per_channel() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocess = Preprocess(size=(4, 4), mean=mean, std=std)
    images = torch.from_numpy(noise(4, 4)).permute(2, 0, 1)[None]
    before = images.clone()
    expected = (images.double() / 255 - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    result = preprocess.normalise(images)
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-6)
    assert torch.equal(images, before)


@pytest.mark.parametrize("bad", [torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.uint8)])
def test_normalise_refuses_other_dtypes_and_channels(bad: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="expected uint8"):
        Preprocess(size=(4, 4)).normalise(bad)


def test_draft_decodes_fewer_pixels_and_stays_close(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    image = np.stack([np.broadcast_to(ramp, (512, 512)), np.broadcast_to(ramp[:, None], (512, 512))] * 2, 2)[:, :, :3]
    path = tmp_path / "a.jpg"
    Image.fromarray(np.ascontiguousarray(image)).save(path, quality=95)
    plain, draft = Preprocess(size=(64, 64)), Preprocess(size=(64, 64), draft=True)
    assert plain.read(path).shape == (512, 512, 3)
    assert draft.read(path).shape == (64, 64, 3)
    assert (plain(path) - draft(path)).abs().max() < 0.05
    cropped = Preprocess(size=(56, 56), draft=True, crop_fraction=0.875)
    assert min(cropped.read(path).shape[:2]) >= 64


def test_with_size() -> None:
    preprocess = Preprocess(size=(32, 32), mean=(0.1, 0.2, 0.3), fit="squash")
    assert preprocess.with_size(48) == Preprocess(size=(48, 48), mean=(0.1, 0.2, 0.3), fit="squash")
    assert preprocess.with_size((16, 64)).size == (16, 64)


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(CheckpointError, match=r"'crop_fracton'.*did you mean 'crop_fraction'"):
        Preprocess.from_dict({"size": [4, 4], "crop_fracton": 1.0})
    with pytest.raises(CheckpointError, match='no "size"'):
        Preprocess.from_dict({"channels": 3})
    with pytest.raises(CheckpointError, match="list"):
        Preprocess.from_dict([1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"size": (0, 4)},
        {"size": 4},
        {"size": (4.0, 4)},
        {"size": (10**9, 4)},
        {"channels": 0},
        {"channels": True},
        {"fit": "pad"},
        {"crop_fraction": 0.0},
        {"crop_fraction": 1.1},
        {"crop_fraction": float("nan")},
        {"crop_fraction": 1e-9},
        {"interpolation": "cubic"},
        {"interpolation": "bicubic", "antialias": False},
        {"antialias": 1},
        {"draft": "yes"},
        {"mean": (0.5, 0.5)},
        {"std": (0.5, 0.0, 0.5)},
        {"std": (float("inf"),)},
        {"mean": "0.5"},
    ],
)
def test_contradictions_fail_at_construction_and_from_files(fields: dict[str, object]) -> None:
    fields = {"size": (4, 4)} | fields
    with pytest.raises(ConfigError) as caught:
        Preprocess(**fields)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError):
        Preprocess.from_dict(fields)


def test_reducing_gap_is_close_to_the_full_resampling() -> None:
    smooth = np.array(Image.fromarray(noise(12, 16)).resize((800, 600), Image.Resampling.BICUBIC))
    plain, quick = (resample(smooth, (32, 32), reducing_gap=gap).astype(int) for gap in (None, 3.0))
    assert 0 < np.abs(plain - quick).max() <= 3
