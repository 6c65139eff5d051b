from __future__ import annotations

import dataclasses
import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from vitascope.data.sources.fractals import FractalConfig, Fractals, open_fractals
from vitascope.errors import DataError

OPTIONS = [{}, {"colour": True}, {"background": True}, {"colour": True, "background": True}]


def small(**changes: object) -> Fractals:
    return Fractals(FractalConfig(**{"classes": 12, "size": 32, "instances": 50, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [17, 32, 64])
def test_an_image_is_the_same_alone_in_a_batch_and_in_any_order(options: dict[str, bool], size: int) -> None:
    source = small(size=size, **options)
    indices = np.random.default_rng(0).permutation(len(source))[:150]  # more than two blocks
    together = source.read_many(indices)
    assert together.shape == (150, size, size, 3)
    assert together.dtype == np.uint8
    fresh = small(size=size, **options)  # its systems are found one at a time
    for k in (149, 0, 63, 64, 77):
        np.testing.assert_array_equal(fresh[int(indices[k])], together[k])
    np.testing.assert_array_equal(source.read_many(indices[::-1]), together[::-1])


def test_another_process_generates_the_same_images() -> None:
    source = small(colour=True, background=True, seed=5)
    wanted = hashlib.sha256(source.read_many(np.arange(20)).tobytes()).hexdigest()
    program = (
        "import hashlib, numpy as np\n"
        "from vitascope.data.sources.fractals import FractalConfig, Fractals\n"
        "c = FractalConfig(classes=12, size=32, instances=50, colour=True, background=True, seed=5)\n"
        "images = np.stack([Fractals(c)[i] for i in reversed(range(20))])[::-1]\n"
        "print(hashlib.sha256(images.tobytes()).hexdigest())\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == wanted


@pytest.mark.parametrize("colour", [False, True])
def test_instances_resemble_their_class_and_differ(colour: bool) -> None:
    source = small(classes=10, colour=colour, rotation=0.0, jitter=0.1)
    ink = (source.read_many(np.arange(10 * 24)).max(axis=3) > 0).reshape(24, 10, 32, 32).astype(float)
    # Compared up to flips and shifts, which every class shares: amplitude spectra, both mirror images averaged.
    spectrum = np.abs(np.fft.fft2(ink - ink.mean(axis=(2, 3), keepdims=True)))
    spectrum = spectrum + spectrum[..., ::-1].take(np.arange(-1, 31), axis=3, mode="wrap")
    vectors = spectrum.reshape(24, 10, -1)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    flat = vectors.reshape(240, -1)
    distance = 1 - flat @ flat.T
    label = np.arange(240) % 10
    same = label[:, None] == label
    off = ~np.eye(240, dtype=bool)
    assert distance[same & off].mean() < 0.8 * distance[~same].mean()
    nearest = label[np.where(off, distance, 9).argmin(axis=1)]
    assert (nearest == label).mean() > 0.5  # chance is 0.1
    pictures = source.read_many(np.arange(240))
    assert len({p.tobytes() for p in pictures}) == 240


def test_without_flips_a_class_keeps_its_orientation() -> None:
    def likeness(flips: bool) -> float:
        source = small(classes=12, rotation=0.0, jitter=0.0, flips=flips)
        ink = (source.read_many(np.arange(12 * 16)).max(axis=3) > 0).reshape(16, 12, -1).astype(float)
        return float(np.mean([np.corrcoef(ink[:, label])[~np.eye(16, dtype=bool)].mean() for label in range(12)]))

    assert likeness(flips=False) > likeness(flips=True) + 0.15


def test_every_picture_has_a_fractal_in_it() -> None:
    source = small(classes=60)
    lit = (source.read_many(np.arange(600)) > 0).mean(axis=(1, 2, 3))
    assert lit.min() > 0.06
    assert lit.max() < 0.9
    assert 0.15 < lit.mean() < 0.6


def test_grey_on_black_by_default() -> None:
    pictures = small().read_many(np.arange(48))
    assert np.ptp(pictures, axis=3).max() == 0
    assert (pictures == 0).mean() > 0.3


@pytest.mark.parametrize(
    "change",
    [
        {"colour": True},
        {"background": True},
        {"jitter": 0.05},
        {"rotation": 5.0},
        {"seed": 1},
        {"fewest_maps": 4},
        {"most_maps": 3},
        {"min_fill": 0.3},
        {"max_fill": 0.32},
        {"classes": 13},
    ],
    ids=str,
)
def test_options_change_pixels(change: dict[str, object]) -> None:
    assert not np.array_equal(small().read_many(np.arange(24)), small(**change).read_many(np.arange(24)))


def test_colour_colours_the_fractal_and_background_fills_the_rest() -> None:
    plain, coloured = small().read_many(np.arange(24)), small(colour=True).read_many(np.arange(24))
    np.testing.assert_array_equal(plain.max(axis=3) == 0, coloured.max(axis=3) == 0)  # the same shapes
    assert np.ptp(coloured.astype(int), axis=3).max() > 100
    grey = small(background=True).read_many(np.arange(24))
    assert np.ptp(grey, axis=3).max() == 0
    empty = plain.max(axis=3) == 0
    assert (grey[empty] > 0).mean() > 0.8
    np.testing.assert_array_equal(grey[~empty], plain[~empty])
    full = small(colour=True, background=True).read_many(np.arange(24))
    assert np.ptp(full[empty].astype(int), axis=1).mean() > 20


def test_labels_and_names() -> None:
    source = small()
    assert len(source) == 600
    assert source.labels.dtype == np.int64
    np.testing.assert_array_equal(source.labels, np.arange(600) % 12)
    assert len(source.classes) == 12
    assert len(set(source.classes)) == 12
    assert source.name == "fractals train"
    assert source.describe(17) == "fractals train[17]"


@pytest.mark.parametrize("index", [600, -1, 10**12])
def test_index_out_of_range(index: int) -> None:
    with pytest.raises(IndexError, match="0 to 599"):
        small()[index]
    with pytest.raises(IndexError):
        small().read_many(np.array([0, index]))


def test_iteration_ends_and_nothing_gives_nothing() -> None:
    assert sum(1 for _ in small(classes=2, instances=3)) == 6
    assert small().read_many(np.array([], dtype=np.int64)).shape == (0, 32, 32, 3)


def test_any_length_costs_nothing() -> None:
    source = Fractals(FractalConfig(classes=3, size=16, instances=10**9))
    assert len(source) == 3 * 10**9
    assert source[3 * 10**9 - 1].shape == (16, 16, 3)


@pytest.mark.parametrize("used", [False, True])
def test_pickling(used: bool) -> None:
    source = small()
    if used:
        source.read_many(np.arange(5))
        assert source.labels[13] == 1
    data = pickle.dumps(source)
    copy = pickle.loads(data)
    np.testing.assert_array_equal(copy[7], source[7])
    np.testing.assert_array_equal(copy.labels, source.labels)
    assert copy.config == source.config


def test_validation_has_other_instances_of_the_same_classes() -> None:
    splits = open_fractals(classes="4", instances="5", validation="2", size="16")
    train, validation = splits.train, splits.validation
    assert train is not None
    assert validation is not None
    assert splits.test is None
    assert (len(train), len(validation)) == (20, 8)
    assert train.classes == validation.classes
    longer = Fractals(FractalConfig(classes=4, instances=7, size=16))
    np.testing.assert_array_equal(validation[0], longer[20])
    assert validation.labels[1] == longer.labels[21] == 1
    assert open_fractals(classes="4", instances="5", validation="0").validation is None


def config(**options: str) -> FractalConfig:
    train = open_fractals(**options).train
    assert isinstance(train, Fractals)
    return train.config


def test_options_are_read() -> None:
    read = config(classes="200", size="48", colour="True", background="false", jitter="0.2")
    assert read == FractalConfig(classes=200, size=48, colour=True, background=False, jitter=0.2)
    assert config() == FractalConfig()
    for field in dataclasses.fields(FractalConfig):  # every field is an option
        assert config(**{field.name: str(field.default)}) == FractalConfig()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clases": "3"}, "'clases'; did you mean 'classes'"),
        ({"color": "true"}, "did you mean 'colour'"),
        ({"colour": "yes"}, "colour is 'yes', expected true or false"),
        ({"background": "treu"}, "expected true or false"),
        ({"size": "big"}, "size is 'big', expected a whole number"),
        ({"size": "3.5"}, "whole number"),
        ({"size": "4"}, "size is 4, expected a whole number from 8 to 1,024"),
        ({"classes": "0"}, "classes is 0"),
        ({"jitter": "nan"}, "jitter is nan"),
        ({"jitter": "much"}, "jitter is 'much', expected a number"),
        ({"fewest_maps": "5", "most_maps": "3"}, "fewest_maps 5 exceeds most_maps 3"),
        ({"min_fill": "0.4", "max_fill": "0.4"}, "min_fill 0.4"),
        ({"seed": "-1"}, "seed is -1"),
    ],
    ids=str,
)
def test_bad_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_fractals(**options)
    assert "\n" not in str(caught.value)
