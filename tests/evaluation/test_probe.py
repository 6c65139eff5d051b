"""The linear probe: scikit-learn's regression on features standardised by the training set alone."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import vitascope.evaluation.probe
from vitascope.errors import ConfigError
from vitascope.evaluation.probe import probe_predict


def data(n: int = 40, d: int = 12, m: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(-1, 3, d)
    y = np.arange(n) % 4
    return scales * (rng.normal(size=(n, d)) + np.eye(4, d)[y]), y, scales * rng.normal(size=(m, d))


def test_predictions_are_those_of_a_pipeline() -> None:
    x, y, asked = data()
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y).predict(asked)
    got = probe_predict(x, y, asked, 4)
    assert len(set(expected.tolist())) == 4
    assert (got == expected).mean() >= 0.98  # the floor of the standard deviation is ours
    assert got.dtype == np.int64


def test_test_images_do_not_move_the_standardisation() -> None:
    x, y, asked = data()
    alone = np.concatenate([probe_predict(x, y, row[None], 4) for row in asked[:5]])
    assert np.array_equal(alone, probe_predict(x, y, asked, 4)[:5])


def test_strength_counts_and_order_hardly_does() -> None:
    x, y, asked = data()
    order = np.random.default_rng(1).permutation(len(y))
    usual = probe_predict(x, y, asked, 4)
    assert (probe_predict(x[order], y[order], asked, 4) == usual).mean() >= 0.98
    assert not np.array_equal(probe_predict(x, y, asked, 4, c=1e-4), usual)


def test_numbers_of_classes_are_kept_where_some_have_no_images() -> None:
    x, y, asked = data()
    assert np.array_equal(probe_predict(x, 2 * y + 1, asked, 9), 2 * probe_predict(x, y, asked, 4) + 1)


def test_a_fit_that_does_not_settle_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(vitascope.evaluation.probe, "_ITERATIONS", 2)
    with caplog.at_level(logging.WARNING):
        assert probe_predict(*data(), 4).shape == (80,)
    assert "had not settled after 2 iterations" in caplog.text


def test_what_cannot_be_is_refused() -> None:
    x, y, asked = data()
    with pytest.raises(ConfigError, match="of one class"):
        probe_predict(x, 0 * y, asked, 4)
    with pytest.raises(ConfigError, match="c is 0"):
        probe_predict(x, y, asked, 4, c=0)
    assert probe_predict(x, y, asked[:0], 4).shape == (0,)
