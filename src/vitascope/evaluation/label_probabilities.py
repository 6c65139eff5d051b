"""Probabilities of several labels an image: of each by itself, from scores of images that were left out.

A label's logit is a_k s + b_k of its score s (Platt, 1999): labels are rare or frequent, so that each has a threshold
of its own. A label as it stands is drawn by that probability or, with probability ε, is the other one. a, b and ε are
those under which all labels are likeliest. As Platt has it, one of N + 2 images with a label counts as one without it,
and one of M + 2 of those without it as one with it: no certainty comes of a few images.

n images, K labels.
"""

from __future__ import annotations

import numpy as np

from vitascope.evaluation.fewshot import Float64

_SLOPES = (-3.0, 7.0)
"""Bounds of the logarithm of a: scores say at least a little, and never the contrary."""
_START = np.log(2.0)
"""Of that logarithm: least squares' own (s + 1)/2 is the logistic function's tangent of this slope."""


def fitted_labels(scores: Float64, targets: Float64, sound: int) -> tuple[Float64, Float64, float]:
    """a (K,), b (K,) and ε in [0, ½) for scores (n, K) and targets of ±1; `sound` as in `taught.py`."""
    from scipy.optimize import minimize  # comes with scikit-learn

    k = scores.shape[1]
    has = targets > 0
    doubt = np.where(has, 1 / (has.sum(axis=0) + 2), 1 / ((~has).sum(axis=0) + 2))

    def cost(values: Float64) -> tuple[float, Float64]:
        slope, noise = np.exp(values[:k]), values[-1]
        margins = targets * (slope * scores + values[k:-1])
        right = np.exp(-np.logaddexp(0, -margins))
        seen = observed(right, noise)
        losses = -(1 - doubt) * np.log(seen) + doubt * np.logaddexp(0, margins)
        by_margin = right * (doubt - (1 - doubt) * (1 - 2 * noise) * (1 - right) / seen)
        by_logit = targets * by_margin
        by_noise = -((1 - doubt) * (1 - 2 * right) / seen).sum() - 1 / noise + (sound - 1) / (1 - noise)
        prior = np.log(noise) + (sound - 1) * np.log(1 - noise)
        gradient = np.concatenate([slope * (by_logit * scores).sum(axis=0), by_logit.sum(axis=0), [by_noise]])
        return float(losses.sum() - prior) / scores.size, gradient / scores.size

    start = np.concatenate([np.full(k, _START), np.zeros(k), [0.05]])
    bounds = [_SLOPES] * k + [(-50.0, 50.0)] * k + [(1e-6, 0.49)]
    # Each label's part of the mean is a K-th of its own, hence the tolerance.
    found = minimize(
        cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-6 / k}
    ).x
    return np.exp(found[:k]), found[k:-1], float(found[-1])


def right_labels(logits: Float64, targets: Float64) -> Float64:
    """Probability of each label, present or absent as `targets` say, (n, K)."""
    right: Float64 = np.exp(-np.logaddexp(0, -targets * logits))
    return right


def observed(right: Float64, noise: float) -> Float64:
    """Probability of the labels as they stand, where `right` is that of their being true."""
    return (1 - noise) * right + noise * (1 - right)
