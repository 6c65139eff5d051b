"""Function systems and the points on their attractors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fractals import chaos_game
from vitascope.data.sources import ifs
from vitascope.data.sources.uniforms import uniforms


def systems(classes: Sequence[int], seed: int = 0, fill: tuple[float, float] = (0.2, 0.8)) -> np.ndarray:
    return ifs.sample_systems(seed, np.array(classes), fewest=2, most=7, fill=fill)[0]


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
    maps = systems([0])[0]
    np.testing.assert_allclose(maps[0], FIRST_MAP, atol=1e-9)


FIRST_MAP = [0.098835548251, -0.235736218575, 0.138731563992, -0.037141858674, -0.570141421077, 0.417250097607]


def test_a_class_depends_on_seed_and_number_only() -> None:
    few, many = systems(range(5)), systems(range(300))
    np.testing.assert_array_equal(few, many[:5])
    assert not np.allclose(few, systems(range(5), seed=1))


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
    airy = systems(range(12), fill=(0.05, 0.2))
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
    rx, ry = chaos_game(maps, shares, 128, 400, np.random.default_rng(0), burn_in=40)
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
