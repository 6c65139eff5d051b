"""The taught head: folded to the last digit, chosen and calibrated on images left out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from vitascope.evaluation.fewshot import Ridge, signs
from vitascope.evaluation.leave_one_out import left_out, left_out_errors
from vitascope.evaluation.taught import LAMBDAS, balanced, fitted_temperature, teach_head

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


@pytest.mark.parametrize("likelihood", ["softmax", "sigmoid"])
def test_no_other_temperature_makes_the_labels_likelier(likelihood: str) -> None:
    rng = np.random.default_rng(0)
    targets = signs(rng.integers(0, 3, 200), 3)
    scores = 0.3 * targets + rng.normal(size=targets.shape)
    found = fitted_temperature(scores, targets, likelihood=likelihood)  # type: ignore[arg-type]
    doubt = 1 / 202
    soft = np.where(targets > 0, 1 - doubt, doubt if likelihood == "sigmoid" else doubt / 2)

    def cost(inverse: Array) -> float:
        logits = scores * inverse
        if likelihood == "sigmoid":
            p = 1 / (1 + np.exp(-logits))
            return float(-(soft * np.log(p) + (1 - soft) * np.log(1 - p)).sum())
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return float(-(soft * np.log(p)).sum())

    assert found == pytest.approx(1 / minimize(cost, [1.0], method="Nelder-Mead").x[0], rel=1e-3)


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
