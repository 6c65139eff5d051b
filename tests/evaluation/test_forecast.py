"""The forecast: close to what more images really bring, with intervals that hold it."""

from __future__ import annotations

import numpy as np
import pytest

from vitascope.evaluation.fewshot import signs
from vitascope.evaluation.forecast import LEAST, forecast
from vitascope.evaluation.taught import Taught, teach_head

Array = np.ndarray


def data(n: int, seed: int, hard: int | None = None) -> tuple[Array, Array]:
    """Features of three classes in 30 dimensions; the class `hard` scatters more."""
    rng = np.random.default_rng(seed)
    centres = 0.55 * np.random.default_rng(77).normal(size=(3, 30))
    labels = rng.integers(0, 3, n)
    scatter = np.where(labels == hard, 1.6, 1.0)[:, None]
    return centres[labels] + scatter * rng.normal(size=(n, 30)), labels


def taught(features: Array, labels: Array) -> Taught:
    return teach_head(features, signs(labels, 3))


def test_the_interval_holds_what_comes() -> None:
    asked, truth = data(20_000, 1)
    held, bias = [], []
    for seed in range(40):
        features, labels = data(400, 10 + seed)
        told, _ = forecast(features[:100], labels[:100], taught(features[:100], labels[:100]).left_out, np.arange(100))
        for expected in told:
            head = taught(features[: expected.images], labels[: expected.images])
            came = ((asked @ head.weight.T + head.bias).argmax(axis=1) == truth).mean()
            held.append(expected.interval[0] <= came <= expected.interval[1])
            bias.append(expected.top1 - came)
    assert [expected.images for expected in told] == [200, 400]
    assert np.mean(held) >= 0.9
    assert abs(np.mean(bias)) < 0.03


def test_the_class_that_gains_most_is_the_one_that_is_hard() -> None:
    first = []
    for seed in range(10):
        features, labels = data(300, seed, hard=2)
        _, gains = forecast(features, labels, taught(features, labels).left_out, np.arange(300))
        assert (gains >= 0).all()
        first.append(int(gains.argmax()))
    assert first.count(2) >= 7


def test_of_a_class_of_few_images_no_gain_is_told() -> None:
    features, labels = data(300, 5)
    few = np.flatnonzero(labels == 1)[5:]
    features, labels = np.delete(features, few, axis=0), np.delete(labels, few)
    told, gains = forecast(features, labels, taught(features, labels).left_out, np.arange(len(labels)))
    assert len(told) == 2
    assert np.isnan(gains).tolist() == [False, True, False]


def test_it_draws_the_same_every_time_and_never_promises_a_loss() -> None:
    features, labels = data(80, 3)
    head = taught(features, labels)
    one, other = (forecast(features, labels, head.left_out, np.arange(80))[0] for _ in range(2))
    assert one == other
    noise = np.random.default_rng(0).normal(size=(80, 30))
    told, _ = forecast(noise, labels, taught(noise, labels).left_out, np.arange(80))
    now = (taught(noise, labels).left_out.argmax(axis=1) == labels).mean()
    assert told[0].top1 >= now - 1e-9
    assert 0 <= told[0].interval[0] <= told[0].interval[1] <= 1


def test_copies_do_not_flatter_the_curve() -> None:
    features, labels = data(60, 4)
    four, again = np.repeat(features, 4, axis=0), np.repeat(labels, 4)
    groups = np.repeat(np.arange(60), 4)
    left_out = teach_head(four, signs(again, 3), groups=groups).left_out
    (told, *_), _ = forecast(four, again, left_out, groups)
    flattered, *_ = forecast(four, again, left_out, np.arange(240))[0]
    assert told.top1 >= flattered.top1  # copies on both sides make the early error small, and the slope flat


@pytest.mark.parametrize("n", [3, LEAST - 1])
def test_of_few_images_nothing_is_foretold(n: int) -> None:
    features, labels = data(n, 5)
    labels[:3] = [0, 1, 2]
    told, gains = forecast(features, labels, taught(features, labels).left_out, np.arange(n))
    assert told == []
    assert gains.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("classes", "foretold"), [(16, True), (17, False)])  # 100 images
def test_of_few_images_a_class_nothing_is_foretold(classes: int, foretold: bool) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % classes
    features = np.eye(classes)[labels] + 0.3 * rng.normal(size=(100, classes))
    head = teach_head(features, signs(labels, classes))
    assert bool(forecast(features, labels, head.left_out, np.arange(100))[0]) == foretold
