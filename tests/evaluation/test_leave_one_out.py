"""Leave-one-out by formula: against the regression solved anew without each image, to 1e-6 and mostly far below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vitascope.evaluation.fewshot import Ridge, signs
from vitascope.evaluation.leave_one_out import left_out, left_out_errors

Array = np.ndarray


def data(n: int, d: int, classes: int = 3, seed: int = 0) -> tuple[Array, Array]:
    """Features on scales that differ, and labels of which the first class has one image."""
    rng = np.random.default_rng(seed)
    labels = np.r_[0, rng.integers(1, classes, n - 1)]
    centres = rng.normal(size=(classes, d))
    return (10.0 ** rng.uniform(-1, 1, d) * (2 + centres[labels] + rng.normal(size=(n, d)))).astype(np.float32), labels


def anew(features: Array, targets: Array, l2: float, weights: Array, without: Sequence[int]) -> Array:
    """Scores of the images `without` which the normal equations are solved, in the scale of all."""
    scale = Ridge.of(features, targets).scale
    x = scale.rows(features)
    kept = np.setdiff1d(np.arange(len(x)), without)
    weighted = (weights[kept, None] * x[kept]).T
    w = np.linalg.solve(weighted @ x[kept] + l2 * np.eye(x.shape[1]), weighted @ targets[kept])
    return x[list(without)] @ w


SHAPES = {"n < d": (15, 40), "n = d": (20, 20), "n = d + 1": (21, 20), "n > d": (90, 20)}


@pytest.mark.parametrize("odd", ["", "constant", "duplicates"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l2", [0.25, 16.0, 1024.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_regression_without_the_image(shape: str, l2: float, weighted: bool, odd: str) -> None:
    features, labels = data(*SHAPES[shape])
    if odd == "constant":
        features[:, 3] = 7.0
    if odd == "duplicates":
        features[5:9], labels[5:9] = features[4], labels[4]
    targets = signs(labels, 3)
    weights = np.random.default_rng(1).uniform(0.2, 3, len(labels)) if weighted else np.ones(len(labels))
    ridge = Ridge.of(features, targets, weights if weighted else None)
    found = left_out(ridge, features, targets, l2, weights if weighted else None)
    expected = np.concatenate([anew(features, targets, l2, weights, [i]) for i in range(len(labels))])
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(found - ridge.scores(features, l2)).max() > 1e-3  # which is not what the fit itself says


@pytest.mark.parametrize("shape", SHAPES)
def test_a_group_is_left_out_whole(shape: str) -> None:
    features, labels = data(*SHAPES[shape])
    targets, groups = signs(labels, 3), np.random.default_rng(2).integers(0, 8, len(labels))
    weights = np.random.default_rng(3).uniform(0.2, 3, len(labels))
    found = left_out(Ridge.of(features, targets, weights), features, targets, 16.0, weights, groups)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        assert np.abs(found[members] - anew(features, targets, 16.0, weights, members)).max() < 1e-6


def test_groups_of_one_are_no_groups_and_parts_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = data(60, 20)
    targets = signs(labels, 3)
    ridge = Ridge.of(features, targets)
    whole = left_out(ridge, features, targets, 4.0)
    monkeypatch.setattr("vitascope.evaluation.leave_one_out._ROWS", 7)
    assert np.allclose(left_out(ridge, features, targets, 4.0, groups=np.arange(60)[::-1]), whole, atol=1e-12)


def test_the_errors_of_all_lambdas_are_those_of_the_scores() -> None:
    features, labels = data(60, 20)
    targets, groups, weights = signs(labels, 3), np.arange(60) // 2, np.linspace(0.5, 2, 60)
    ridge = Ridge.of(features, targets, weights)
    lambdas = (0.25, 4.0, 1024.0)
    found = left_out_errors(ridge, features, targets, lambdas, weights, groups)
    for value, error in zip(lambdas, found, strict=True):
        residuals = targets - left_out(ridge, features, targets, value, weights, groups)
        assert error == pytest.approx(np.average((residuals**2).mean(axis=1), weights=weights), rel=1e-12)
    assert len(set(found.round(6))) == 3


def test_an_integer_weight_is_that_many_images() -> None:
    features, labels = data(30, 10)
    times = np.r_[np.full(10, 3), np.ones(20, dtype=int)]
    scale = Ridge.of(features, signs(labels, 3)).scale
    again = np.repeat(np.arange(30), times)
    weighted = Ridge.of(features, signs(labels, 3), times.astype(float))
    x, y = scale.rows(features[again]), signs(labels[again], 3)
    expected = np.linalg.solve(x.T @ x + 4 * np.eye(11), x.T @ y)
    assert np.abs(weighted.weights(4.0) - expected).max() < 1e-9
