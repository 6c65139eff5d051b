"""Influence by formula: against the head solved anew without each image."""

from __future__ import annotations

import numpy as np
import pytest

from vitascope.evaluation.fewshot import Ridge, signs
from vitascope.evaluation.influence import influences
from vitascope.evaluation.neighbours import nearest


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d"), [(15, 40), (21, 20), (90, 20)])
def test_it_is_what_changes_without_the_image(n: int, d: int, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    features, labels = 3 + rng.normal(size=(n, d)), rng.integers(0, 3, n)
    targets, weights = signs(labels, 3), rng.uniform(0.3, 2, n) if weighted else np.ones(n)
    asked = 3 + rng.normal(size=d)
    ridge = Ridge.of(features, targets, weights)
    found = influences(ridge, features, targets, 16.0, asked, weights)
    x, query = ridge.scale.rows(features), ridge.scale.rows(asked[None])[0]

    def scores(kept: np.ndarray) -> np.ndarray:
        weighted_rows = (weights[kept, None] * x[kept]).T
        solved: np.ndarray = np.linalg.solve(
            weighted_rows @ x[kept] + 16.0 * np.eye(d + 1), weighted_rows @ targets[kept]
        )
        return query @ solved

    whole = scores(np.arange(n))
    expected = np.array([whole - scores(np.setdiff1d(np.arange(n), [i])) for i in range(n)])
    assert np.abs(found - expected).max() < 1e-8
    assert np.abs(found).max() > 1e-3


def test_nearest_by_cosine() -> None:
    known = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 5.0], [-1.0, 0.0]])
    places, cosines = nearest(known, np.array([[3.0, 0.1]]), 3)
    assert places.tolist() == [[0, 1, 2]]
    assert cosines[0] == pytest.approx([0.99944, 0.73028, 0.03331], abs=1e-4)
    assert nearest(known, known, 10)[0].shape == (4, 4)
