"""Probabilities of several labels: what made them is found again, and they hold for new images."""

from __future__ import annotations

import numpy as np
import pytest

from vitascope.evaluation.fewshot import Ridge
from vitascope.evaluation.label_probabilities import fitted_labels, right_labels
from vitascope.evaluation.leave_one_out import left_out
from vitascope.evaluation.taught import teach_head

Array = np.ndarray
SLOPES, OFFSETS = np.array([1.0, 2.5, 0.6, 5.0]), np.array([0.0, -2.0, 1.0, -6.0])


def data(n: int, seed: int = 0, d: int = 10) -> tuple[Array, Array]:
    """Four labels of shares from a half to a few per cent, each with a direction of its own and some chance."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(4, d))
    features = 3 + rng.normal(size=(n, d))
    scores = (features - 3) @ directions.T + rng.logistic(scale=1.5, size=(n, 4))
    return features, np.where(scores > [0, 1, 3, 6], 1.0, -1.0)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_slopes_offsets_and_noise_are_those_that_made_the_labels(noise: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(6000, 4)) * 4 / SLOPES - OFFSETS / SLOPES
    true = rng.random(scores.shape) < 1 / (1 + np.exp(-(SLOPES * scores + OFFSETS)))
    targets = np.where(true ^ (rng.random(scores.shape) < noise), 1.0, -1.0)
    slope, offset, share = fitted_labels(scores, targets, 50)
    assert slope == pytest.approx(SLOPES, rel=0.12)
    assert offset == pytest.approx(OFFSETS, abs=0.5)
    assert share.mean() == pytest.approx(noise, abs=0.01)
    assert share == pytest.approx(np.full(4, noise), abs=0.02)


def test_it_is_where_no_direction_is_better() -> None:
    features, targets = data(200)
    scores = left_out(Ridge.of(features, targets), features, targets, 4.0)
    slope, offset, noise = fitted_labels(scores, targets, 50)

    def cost(values: Array) -> Array:
        right = right_labels(values[0] * scores + values[1], targets)
        has = targets > 0
        doubt = np.where(has, 1 / (has.sum(axis=0) + 2), 1 / ((~has).sum(axis=0) + 2))
        seen = (1 - values[2]) * right + values[2] * (1 - right)
        losses = -(1 - doubt) * np.log(seen) - doubt * np.log(1 - right)
        return losses.sum(axis=0) - np.log(values[2]) - 49 * np.log(1 - values[2])

    best = np.stack([slope, offset, noise])
    for place in range(3):
        for factor in (0.97, 1.03):
            moved = best.copy()
            moved[place] *= factor
            assert (cost(moved) > cost(best) - 1e-3).all()


def test_what_it_says_of_images_left_out_holds_for_new_ones() -> None:
    asked, truth = data(4000, seed=1)
    errors = []
    for seed in range(10):
        features, targets = data(300, seed=10 + seed)
        taught = teach_head(features, targets, likelihood="sigmoid")
        likely = 1 / (1 + np.exp(-(asked @ taught.weight.T + taught.bias)))
        errors.append([(p := likely[:, k]).mean() - (truth[:, k] > 0).mean() for k in range(4)])
        assert np.log(right_labels(taught.left_out, targets)).mean() == pytest.approx(
            np.log(right_labels(asked @ taught.weight.T + taught.bias, truth)).mean(), abs=0.08
        )
        surest = p[likely[:, 3] > 0.5]
        assert len(surest) < 0.2 * len(p)
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03


def test_the_linear_layer_is_each_labels_own_regression() -> None:
    features, targets = data(80)
    taught = teach_head(features, targets, likelihood="sigmoid")
    for k in range(4):
        alone = Ridge.of(features, targets[:, k : k + 1]).scores(features, taught.l2)[:, 0]
        logits = features @ taught.weight[k] + taught.bias[k]
        slope, offset = np.polyfit(alone, logits, 1)
        assert slope == pytest.approx(1 / np.asarray(taught.temperature)[k], rel=1e-6)
        assert np.abs(slope * alone + offset - logits).max() < 1e-9


def test_labels_that_are_called_wrong_mostly_are() -> None:
    said, truth = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(500, 8))
        targets = np.where(features[:, :3] + 0.2 * rng.normal(size=(500, 3)) > [0, 0.5, 1.2], 1.0, -1.0)
        bad = rng.random(targets.shape) < 0.04
        taught = teach_head(features, np.where(bad, -targets, targets), likelihood="sigmoid")
        assert taught.noise == pytest.approx(0.04, abs=0.03)
        said.append(taught.wrong)
        truth.append(bad)
    wrong, is_wrong = np.concatenate(said), np.concatenate(truth)
    assert is_wrong[wrong > 0.5].mean() > 0.6
    assert is_wrong[wrong > 0.5].sum() > 0.5 * is_wrong.sum()


def test_labels_of_all_of_none_and_of_few_images_make_no_certainty() -> None:
    features, targets = data(40)
    targets[:, 0], targets[:, 1] = 1.0, -1.0
    targets[:, 2] = np.where(np.arange(40) < 2, 1.0, -1.0)
    taught = teach_head(features, targets, likelihood="sigmoid")
    likely = 1 / (1 + np.exp(-taught.left_out))
    assert np.isfinite(taught.weight).all()
    assert 0.9 < likely[:, 0].min() <= likely[:, 0].max() < 0.995
    assert likely[:, 1].max() < 0.1
    assert likely[:, 2].max() < 0.8
