"""Nearest neighbours: against scikit-learn's, and the weights by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

import vitascope.evaluation.neighbours
from vitascope.errors import ConfigError
from vitascope.evaluation.neighbours import neighbour_predict


def data(n: int = 60, d: int = 8, m: int = 70) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return rng.normal(size=(n, d)) + 0.5 * np.eye(3, d)[y], y, rng.normal(size=(m, d))


@pytest.mark.parametrize("k", [1, 5, 20, 60])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_predictions_are_those_of_scikit_learn(k: int, temperature: float) -> None:
    x, y, asked = data()
    peer = KNeighborsClassifier(k, metric="cosine", weights=lambda distance: np.exp(-distance / temperature))
    expected = peer.fit(x, y).predict(asked)
    assert len(set(expected.tolist())) == 3
    assert np.array_equal(neighbour_predict(x, y, asked, 3, k, temperature), expected)


def test_each_argument_counts() -> None:
    x, y, asked = data()
    usual = neighbour_predict(x, y, asked, 3)
    assert not np.array_equal(neighbour_predict(x, y, asked, 3, neighbours=1), usual)
    assert not np.array_equal(neighbour_predict(x, y, asked, 3, temperature=10.0), usual)


def test_fewer_images_than_neighbours_all_vote() -> None:
    x, y, asked = data(6)
    assert np.array_equal(neighbour_predict(x, y, asked, 3, 100), neighbour_predict(x, y, asked, 3, 6))


def test_only_directions_count_and_zeros_are_no_fault() -> None:
    x, y, asked = data()
    lengths = np.random.default_rng(1).uniform(0.1, 100, (60, 1))
    assert np.array_equal(neighbour_predict(x * lengths, y, asked * 7, 3), neighbour_predict(x, y, asked, 3))
    assert neighbour_predict(x, y, np.zeros((2, 8)), 3, 1).tolist() == [0, 0]


def test_those_as_near_as_the_last_vote_whatever_the_order() -> None:
    x, y = np.array([[1.0, 0], [0, 1], [0, 1], [0, 1]]), np.array([0, 1, 2, 2])
    for order in ([0, 1, 2, 3], [2, 1, 0, 3], [3, 2, 1, 0]):
        # Two neighbours, but three are equally near: class 2 has two votes.
        assert neighbour_predict(x[order], y[order], np.array([[0.1, 1.0]]), 3, 2, 1.0).tolist() == [2]


def test_more_test_images_than_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, asked = data()
    whole = neighbour_predict(x, y, asked, 3)
    monkeypatch.setattr(vitascope.evaluation.neighbours, "_ROWS", 9)
    assert np.array_equal(neighbour_predict(x, y, asked, 3), whole)


def test_a_small_temperature_is_the_nearest_alone() -> None:
    x, y, asked = data()
    assert np.array_equal(neighbour_predict(x, y, asked, 3, 60, 1e-6), neighbour_predict(x, y, asked, 3, 1))


@pytest.mark.parametrize(("neighbours", "temperature"), [(0, 0.07), (5, 0.0), (5, float("inf"))])
def test_what_cannot_be_is_refused(neighbours: int, temperature: float) -> None:
    with pytest.raises(ConfigError, match="expected"):
        neighbour_predict(*data(), 3, neighbours, temperature)
