"""Prediction sets: their coverage is what they state, over many draws, whatever the model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import beta

from vitascope.errors import ConfigError
from vitascope.evaluation.fewshot import signs
from vitascope.evaluation.sets import PredictionSets, sets_from_json, sets_text
from vitascope.evaluation.taught import teach_head

Array = np.ndarray


def draw(n: int, rng: np.random.Generator, classes: int = 4, skill: float = 1.0) -> tuple[Array, Array]:
    """Probabilities of a model that is partly right and far too sure, and labels of uneven classes."""
    labels = rng.choice(classes, n, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    logits = 3 * (skill * np.eye(classes)[labels] + rng.normal(size=(n, classes)))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("n", [20, 60, 333])
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_the_coverage_over_a_thousand_draws(n: int, coverage: float) -> None:
    rng = np.random.default_rng(0)
    asked, truth = draw(20_000, rng)
    found = []
    for _ in range(1000):
        sets = PredictionSets.fit(*draw(n, rng), coverage)
        found.append(sets.members(asked)[np.arange(len(truth)), truth].mean())
    rank = int((1 - coverage) * (n + 1) + 1e-9)
    exact = 1 - rank / (n + 1)  # the mean of Beta(n + 1 − k, k), the distribution of a draw's coverage
    assert exact >= coverage - 1e-12
    assert np.mean(found) == pytest.approx(exact, abs=0.006)
    low, high = beta.ppf([0.005, 0.995], n + 1 - rank, rank) if rank else (1.0, 1.0)
    assert np.mean((np.array(found) >= low - 0.01) & (np.array(found) <= high + 0.01)) > 0.97


def test_calibrated_on_images_left_out_it_holds_for_new_ones() -> None:
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 2, 4000)
    features = 1.5 * np.eye(2, 3)[truth] + rng.normal(size=(4000, 3))
    found, n = [], 39  # the fourth lowest of 39: one rank more or less would be 2.5 points
    for _ in range(200):
        order = rng.permutation(4000)
        known, others = order[:n], order[n:]
        head = teach_head(features[known], signs(truth[known], 2))
        sets = PredictionSets.fit(softmax(head.left_out, axis=1), truth[known], 0.9)
        inside = sets.members(softmax(features[others] @ head.weight.T + head.bias, axis=1))
        found.append(inside[np.arange(len(others)), truth[others]].mean())
    assert np.mean(found) == pytest.approx(0.9, abs=0.0125)


def test_by_class_every_class_has_it() -> None:
    rng = np.random.default_rng(1)
    asked, truth = draw(20_000, rng)
    plain, each = [], []
    for _ in range(300):
        known = draw(400, rng)
        for by_class, kept in ((False, plain), (True, each)):
            hit = PredictionSets.fit(*known, 0.9, by_class=by_class).members(asked)[np.arange(len(truth)), truth]
            kept.append([hit[truth == k].mean() for k in range(4)])
    assert np.mean(each, axis=0).min() >= 0.9 - 0.005
    assert np.ptp(np.mean(each, axis=0)) < np.ptp(np.mean(plain, axis=0)) + 0.02


@pytest.mark.parametrize(("least", "can"), [((0.2,), False), ((0.3,), True), ((0.1, 0.1, 0.1, 0.6), False)])
def test_a_set_can_be_empty_only_where_the_lowest_probabilities_leave_room(least: tuple[float, ...], can: bool) -> None:
    sets = PredictionSets(coverage=0.9, least=least, images=50)
    likely = np.broadcast_to(least, 4)
    assert sets.can_be_empty(4) is can
    assert sets.members(likely / likely.sum() * np.ones((1, 4))).any() is np.bool_(not can)  # the likeliest to be empty
    said = sets_text({"coverage": 0.9, "held": 0.9, "labels": 1.5, "none": 0.0, "can_be_none": can})
    assert ("not sure enough" in said) is not can


def test_too_few_images_state_nothing_so_every_label_is_in() -> None:
    known = draw(8, np.random.default_rng(2))
    sets = PredictionSets.fit(*known, 0.9)
    assert sets.least == (0.0,)
    assert sets.members(known[0]).all()


def test_an_image_like_none_has_an_empty_set() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 500)
    sure = np.full((500, 4), 0.01)
    sure[np.arange(500), labels] = 0.97
    sets = PredictionSets.fit(sure, labels, 0.95)
    assert sets.members(sure).sum(axis=1).tolist() == [1] * 500
    assert not sets.members(np.full((1, 4), 0.25)).any()


def test_it_comes_back_from_json() -> None:
    sets = PredictionSets.fit(*draw(50, np.random.default_rng(4)), 0.9, by_class=True)
    assert sets_from_json(json.loads(json.dumps(sets.as_json()))) == sets


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"coverage": 0.9, "least": 0.3, "images": 5},
        {"coverage": 2.0, "least": [0.3], "images": 5},
        {"coverage": 0.9, "least": [], "images": 5},
        {"coverage": 0.9, "least": [float("nan")], "images": 5},
        {"coverage": 0.9, "least": ["a"], "images": 5},
    ],
)
def test_anything_else_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        sets_from_json(values)
