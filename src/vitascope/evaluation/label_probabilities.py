"""Probabilities of several labels an image: of each by itself, from scores of images that were left out.

A label's logit is a_k s + b_k of its score s (Platt, 1999): labels are rare or frequent, so that each has a threshold
of its own. A label as it stands is drawn by that probability or, with probability ε_k, is the other one. a, b and ε
are those under which the labels are likeliest. As Platt has it, one of N + 2 images with a label counts as one without
it, and one of M + 2 of those without it as one with it: no certainty comes of a few images.

n images, K labels.
"""

from __future__ import annotations

import numpy as np

from vitascope.evaluation.fewshot import Float64

_SLOPES = (-3.0, 7.0)
"""Bounds of the logarithm of a: scores say at least a little, and never the contrary."""
_START = np.log(2.0)
"""Of that logarithm: least squares' own (s + 1)/2 is the logistic function's tangent of this slope."""


def fitted_labels(scores: Float64, targets: Float64, sound: int) -> tuple[Float64, Float64, Float64]:
    """a above 0, b, and ε in [0, ½), (K,) each, for scores (n, K) and targets of ±1; `sound` as in `taught.py`."""
    found = np.array([_fitted(scores[:, k], targets[:, k], sound) for k in range(scores.shape[1])]).reshape(-1, 3)
    return np.exp(found[:, 0]), found[:, 1], found[:, 2]


def _fitted(scores: Float64, targets: Float64, sound: int) -> Float64:
    """log a, b and ε of one label."""
    from scipy.optimize import minimize  # comes with scikit-learn

    n, has = len(scores), targets > 0
    doubt = np.where(has, 1 / (has.sum() + 2), 1 / ((~has).sum() + 2))

    def cost(values: Float64) -> tuple[float, Float64]:
        slope, noise = np.exp(values[0]), values[2]
        margins = targets * (slope * scores + values[1])
        right = right_labels(slope * scores + values[1], targets)
        seen = observed(right, noise)
        losses = -(1 - doubt) * np.log(seen) + doubt * np.logaddexp(0, margins)
        by_logit = targets * right * (doubt - (1 - doubt) * (1 - 2 * noise) * (1 - right) / seen)
        by_noise = -((1 - doubt) * (1 - 2 * right) / seen).sum() - 1 / noise + (sound - 1) / (1 - noise)
        prior = np.log(noise) + (sound - 1) * np.log(1 - noise)
        gradient = np.array([slope * (by_logit @ scores), by_logit.sum(), by_noise])
        return float(losses.sum() - prior) / n, gradient / n

    start, bounds = np.array([_START, 0.0, 0.02]), (_SLOPES, (-50.0, 50.0), (1e-6, 0.49))
    found: Float64 = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-10}).x
    return found


def right_labels(logits: Float64, targets: Float64) -> Float64:
    """Probability of each label, present or absent as `targets` say, (n, K)."""
    right: Float64 = np.exp(-np.logaddexp(0, -targets * logits))
    return right


def observed(right: Float64, noise: float | Float64) -> Float64:
    """Probability of the labels as they stand, where `right` is that of their being true."""
    return (1 - noise) * right + noise * (1 - right)
