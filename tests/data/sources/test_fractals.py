from __future__ import annotations

import dataclasses
import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from vitascope.data.sources import ifs
from vitascope.data.sources.fractals import FractalConfig, Fractals, open_fractals, parse_options
from vitascope.data.sources.uniforms import uniforms
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


def test_random_numbers_are_pinned_and_uniform() -> None:
    # Values fixed on purpose: another generator would silently change every published result.
    numbers = uniforms(3, 7, np.array([0, 1, 2**40]), 3)
    np.testing.assert_array_equal(numbers[1], uniforms(3, 7, np.array([1]), 5)[0, :3])
    np.testing.assert_array_equal((numbers * 2**53).astype(np.uint64), PINNED)
    many = uniforms(0, 0, np.arange(2000), 50)
    histogram = np.histogram(many, bins=20, range=(0, 1))[0] / many.size
    assert np.abs(histogram - 0.05).max() < 0.002
    correlation = np.corrcoef(many.T) - np.eye(50)
    assert np.abs(correlation).max() < 0.12
    assert not np.array_equal(many, uniforms(1, 0, np.arange(2000), 50))
    assert not np.array_equal(many, uniforms(0, 1, np.arange(2000), 50))


PINNED = [
    [3347710141419417, 2291316975211236, 2343905405167221],
    [7270831581748796, 8961568383271606, 4834838321506367],
    [6244162779203361, 8156652843903128, 2041278526509195],
]


def test_first_system_is_pinned() -> None:
    maps = small().systems(np.array([0]))[0]
    np.testing.assert_allclose(maps[0], FIRST_MAP, atol=1e-9)


FIRST_MAP = [0.098835548251, -0.235736218575, 0.138731563992, -0.037141858674, -0.570141421077, 0.417250097607]


def test_a_class_depends_on_seed_and_number_only() -> None:
    few, many = small(classes=5), small(classes=300, colour=True, size=16)
    np.testing.assert_array_equal(few.systems(np.arange(5)), many.systems(np.arange(5)))
    assert not np.allclose(few.systems(np.arange(5)), small(classes=5, seed=1).systems(np.arange(5)))


def test_systems_are_contractive_filled_and_of_every_size() -> None:
    maps, shares = ifs.sample_systems(0, np.arange(200), fewest=2, most=7, fill=(0.2, 0.8))
    assert ifs.largest_singular_value(maps).max() <= ifs.CONTRACTION + 1e-9
    np.testing.assert_allclose(ifs.largest_singular_value(maps)[0], [_norm(m) for m in maps[0]], atol=1e-12)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.max() <= ifs.MAX_SHARE
    assert set((shares > 0).sum(axis=1)) == {2, 3, 4, 5, 6, 7}
    rates = ifs.fill_rate(maps, shares)
    assert rates.min() >= 0.2
    assert rates.max() <= 0.8
    first = np.linalg.svd(maps[..., :4].reshape(200, 7, 2, 2), compute_uv=False)
    total = (first[..., 0] + 2 * first[..., 1]).sum(axis=1)
    number = (shares > 0).sum(axis=1)
    assert np.all(total <= (6 + number) / 2 + 1e-9)
    assert np.all(total >= (5 + number) / 2 - 0.25)  # the cap on singular values may take a little away


def _norm(m: np.ndarray) -> float:
    return float(np.linalg.norm(m[:4].reshape(2, 2), 2))


def test_fill_bounds_are_obeyed() -> None:
    airy = small(min_fill=0.05, max_fill=0.2).systems(np.arange(12))
    shares = ifs.probabilities(airy, np.any(airy != 0, axis=2))
    assert ifs.fill_rate(airy, shares).max() <= 0.2


def test_words_cut_the_attractor_into_equal_measures() -> None:
    _, shares = ifs.sample_systems(0, np.arange(60), fewest=2, most=7, fill=(0.2, 0.8))
    table = ifs.word_table(shares, 128)
    padded = np.concatenate([shares, np.ones((60, 1))], axis=1)
    measure = np.take_along_axis(padded, table.reshape(60, -1).astype(int), axis=1).reshape(table.shape).prod(axis=1)
    assert measure.max() <= ifs.BASES / 128 + 1e-12
    assert np.all(measure > 0)
    first = table[:, 0]
    for m in range(7):  # the outermost map is met as often as its probability says
        assert np.abs((first == m).mean(axis=1) - shares[:, m]).max() <= 1 / 128 + 1e-9


def test_fast_points_cover_what_the_chaos_game_covers() -> None:
    maps, shares = ifs.sample_systems(0, np.arange(40), fewest=2, most=7, fill=(0.2, 0.8))
    words = ifs.compose(maps, ifs.word_table(shares, 128))
    points = ifs.attractor(words, ifs.inner_points(maps, words))
    x, y = points[:, :, 0].reshape(40, -1), points[:, :, 1].reshape(40, -1)
    rx, ry = ifs.chaos_game(maps, shares, 128, 400, np.random.default_rng(0), burn_in=40)
    covered, distances = [], []
    for k in range(40):
        box = [[rx[k].min(), rx[k].max() + 1e-6], [ry[k].min(), ry[k].max() + 1e-6]]
        ours = np.histogram2d(x[k], y[k], bins=24, range=box)[0]
        theirs = np.histogram2d(rx[k], ry[k], bins=24, range=box)[0]
        covered.append(min(theirs[ours > 0].sum() / theirs.sum(), ours[theirs > 0].sum() / ours.sum()))
        distances.append(np.abs(ours / ours.sum() - theirs / theirs.sum()).sum() / 2)
    assert min(covered) > 0.96  # hardly a point of either where the other has none
    assert np.mean(covered) > 0.99
    assert max(distances) < 0.15  # total variation between the two densities; two such random walks: 0.04 to 0.08
    assert np.mean(distances) < 0.1


def test_words_multiply_out_as_maps_applied_one_by_one() -> None:
    maps, shares = ifs.sample_systems(1, np.arange(3), fewest=2, most=7, fill=(0.2, 0.8))
    table = ifs.word_table(shares, 16)
    words = ifs.compose(maps, table)
    point = np.array([0.3, -0.7])
    for n in range(3):
        for k in range(16):
            expected = point
            for number in table[n, ::-1, k]:
                if number != ifs.IDENTITY:
                    m = maps[n, number]
                    expected = m[:4].reshape(2, 2) @ expected + m[4:]
            a, b, c, d, e, f = words[:, n, k]
            found = np.array([[a, b], [c, d]]) @ point + [e, f]
            np.testing.assert_allclose(found, expected, atol=1e-5)


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


def test_options_are_read() -> None:
    config = parse_options({"classes": "200", "size": "48", "colour": "True", "background": "false", "jitter": "0.2"})
    assert config == FractalConfig(classes=200, size=48, colour=True, background=False, jitter=0.2)
    assert parse_options({}) == FractalConfig()
    for field in dataclasses.fields(FractalConfig):  # every field is an option
        text = str(field.default)
        assert getattr(parse_options({field.name: text}), field.name) == field.default


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clases": "3"}, "'clases'.*nearest is 'classes'"),
        ({"color": "true"}, "nearest is 'colour'"),
        ({"colour": "yes"}, "colour=yes.*true or false"),
        ({"background": "treu"}, "nearest is 'true'"),
        ({"size": "big"}, "size=big.*whole number.*size=32"),
        ({"size": "3.5"}, "whole number"),
        ({"size": "4"}, "size=4.*8 to 1024"),
        ({"classes": "0"}, "classes=0"),
        ({"jitter": "nan"}, "jitter=nan"),
        ({"jitter": "much"}, "jitter=much is not a number"),
        ({"fewest_maps": "5", "most_maps": "3"}, "fewest_maps=5 exceeds most_maps=3"),
        ({"min_fill": "0.4", "max_fill": "0.4"}, "min_fill=0.4"),
        ({"seed": "-1"}, "seed=-1"),
    ],
    ids=str,
)
def test_bad_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_fractals(**options)
    assert "\n" not in str(caught.value)
