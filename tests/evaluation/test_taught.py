"""The taught head: folded to the last digit, chosen and calibrated on images left out."""

from __future__ import annotations

import numpy as np
import pytest

from vitascope.evaluation.fewshot import Ridge, signs
from vitascope.evaluation.leave_one_out import left_out, left_out_errors
from vitascope.evaluation.taught import LAMBDAS, balanced, fitted_probabilities, teach_head

Array = np.ndarray


def data(n: int, d: int = 12, classes: int = 3, apart: float = 1.0, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    centres = apart * np.random.default_rng(9).normal(size=(classes, d))
    labels = rng.integers(0, classes, n)
    return 5 + centres[labels] + rng.normal(size=(n, d)), labels


@pytest.mark.parametrize("n", [8, 100])
def test_the_linear_layer_is_the_regression(n: int) -> None:
    features, labels = data(n)
    taught = teach_head(features, signs(labels, 3))
    asked = data(50, seed=1)[0]
    scores = Ridge.fit(features, labels, 3).scores(asked, taught.l2)
    assert np.abs((asked @ taught.weight.T + taught.bias) * taught.temperature - scores).max() < 1e-9
    expected = left_out(Ridge.fit(features, labels, 3), features, signs(labels, 3), taught.l2)
    assert np.abs(taught.left_out * taught.temperature - expected).max() < 1e-12


def test_lambda_is_the_best_for_images_left_out_and_not_at_an_end() -> None:
    features, labels = data(60, d=80)
    taught = teach_head(features, signs(labels, 3))
    errors = left_out_errors(Ridge.fit(features, labels, 3), features, signs(labels, 3), LAMBDAS)
    assert errors[LAMBDAS.index(taught.l2)] == errors.min()
    assert LAMBDAS[0] < taught.l2 < LAMBDAS[-1]


def test_what_it_says_of_images_left_out_holds_for_new_ones() -> None:
    asked, truth = data(4000, apart=0.5, seed=1)
    ours, theirs, losses = [], [], []
    for seed in range(20):
        features, labels = data(80, apart=0.5, seed=10 + seed)
        taught = teach_head(features, signs(labels, 3))
        logits = asked @ taught.weight.T + taught.bias
        ours.append((taught.left_out.argmax(axis=1) == labels).mean())
        theirs.append((logits.argmax(axis=1) == truth).mean())
        losses.append(cross_entropy(logits, truth) - cross_entropy(taught.left_out, labels))
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.03
    assert abs(np.mean(losses)) < 0.06


def cross_entropy(logits: Array, labels: Array) -> float:
    return float((np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize(("noise", "temperature"), [(0.0, 0.4), (0.1, 0.4), (0.05, 2.0)])
def test_temperature_and_noise_are_those_that_made_the_labels(noise: float, temperature: float) -> None:
    rng = np.random.default_rng(0)
    scores = 2 * temperature * rng.normal(size=(6000, 4))
    flipped = rng.random(6000) < noise
    labels = (scores / temperature + rng.gumbel(size=scores.shape)).argmax(axis=1)
    targets = signs((labels + flipped * rng.integers(1, 4, 6000)) % 4, 4)
    found, share = fitted_probabilities(scores, targets)
    assert found == pytest.approx(temperature, rel=0.1)
    assert share == pytest.approx(noise, abs=0.015)


def test_labels_that_are_called_wrong_mostly_are() -> None:
    said, truth, shares = [], [], []
    for seed in range(10):
        features, labels = data(600, apart=1.0, seed=seed)
        rng = np.random.default_rng(100 + seed)
        bad = rng.random(600) < 0.08
        taught = teach_head(features, signs((labels + bad * rng.integers(1, 3, 600)) % 3, 3))
        said.append(taught.wrong)
        truth.append(bad)
        shares.append(taught.noise)
    wrong, is_wrong = np.concatenate(said), np.concatenate(truth)
    assert np.mean(shares) == pytest.approx(0.08, abs=0.02)
    assert wrong.sum() == pytest.approx(is_wrong.sum(), rel=0.25)
    assert is_wrong[wrong < 0.1].mean() < 0.05
    assert is_wrong[wrong > 0.5].mean() > 0.6
    assert is_wrong[wrong > 0.9].mean() > 0.9
    assert is_wrong[wrong > 0.5].sum() > 0.5 * is_wrong.sum()


def test_of_few_images_it_is_never_quite_sure() -> None:
    features, labels = data(12, apart=30.0)
    logits = teach_head(features, signs(labels, 3)).left_out
    assert (logits.argmax(axis=1) == labels).all()
    surest = np.exp(logits.max(axis=1) - np.logaddexp.reduce(logits, axis=1)).max()
    assert 0.9 < surest < 0.995


def test_balanced_weights_count_every_class_alike() -> None:
    labels = np.r_[np.zeros(90, dtype=int), np.ones(9, dtype=int), 3]
    weights = balanced(signs(labels, 5))
    assert weights.sum() == pytest.approx(100)
    assert [weights[labels == k].sum() for k in (0, 1, 3)] == pytest.approx([100 / 3] * 3)
    rng = np.random.default_rng(0)
    two = labels.clip(0, 1)
    features = two[:, None] + 1.5 * rng.normal(size=(100, 4))
    plain, even = (teach_head(features, signs(two, 2), weights=w) for w in (None, balanced(signs(two, 2))))
    recall = [(t.left_out.argmax(axis=1) == two)[two == 1].mean() for t in (plain, even)]
    assert recall[0] < recall[1]
