"""A classifier's head in closed form: the few-shot evaluator's regression (Section 4.1), made a product.

λ is the one whose leave-one-out error is smallest; standardisation and temperature are folded into weights and bias, so
that the result is the ordinary linear layer of a checkpoint. The temperature makes probabilities of scores: the one
under which the labels of images left out are likeliest (Guo et al., 2017), with each label taken as right but for one
in n + 2, since certainty cannot be learned from n images.

n images, d features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vitascope.evaluation.fewshot import Float64, Int64, Ridge
from vitascope.evaluation.leave_one_out import left_out, left_out_errors

LAMBDAS = tuple(4.0**power for power in range(-3, 14))
"""Among which λ is chosen: from next to none to where all scores are alike. The official rule's 4⁵ is one of them."""
_TEMPERATURES = -7.0, 3.0
"""Natural logarithms between which the temperature is looked for; scores are about −1 … 1."""

Likelihood = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """A head, and what it says of its own training images when it has not seen them."""

    weight: Float64
    """(K, d)."""
    bias: Float64
    """(K,); logits are features × weightᵀ + bias."""
    l2: float
    """λ that was chosen."""
    temperature: float
    """What scores were divided by."""
    left_out: Float64
    """Logits (n, K) of each training image by the head without it, and without its group."""


def teach_head(
    features: npt.NDArray[np.floating],
    targets: Float64,
    *,
    weights: Float64 | None = None,
    groups: Int64 | None = None,
    likelihood: Likelihood = "softmax",
) -> Taught:
    """The head for features (n, d) and targets (n, K) of ±1; `weights` and `groups` as in `left_out`.

    `likelihood` "softmax" is for one class of several, "sigmoid" for each label by itself.
    """
    ridge = Ridge.of(features, targets, weights)
    errors = left_out_errors(ridge, features, targets, LAMBDAS, weights, groups)
    l2 = LAMBDAS[int(errors.argmin())]
    scores = left_out(ridge, features, targets, l2, weights, groups)
    temperature = fitted_temperature(scores, targets, weights, likelihood)
    solved = ridge.weights(l2)
    weight = (solved[:-1] / ridge.scale.std[:, None]).T
    bias = ridge.scale.rows(np.zeros((1, features.shape[1]), dtype=np.float64)) @ solved
    return Taught(
        weight=weight / temperature,
        bias=bias[0] / temperature,
        l2=l2,
        temperature=temperature,
        left_out=scores / temperature,
    )


def balanced(targets: Float64) -> Float64:
    """Weights (n,) under which every class counts alike, n in all; of targets with one class each."""
    counts = (targets > 0).sum(axis=0)
    occurring = np.count_nonzero(counts)
    return len(targets) / (occurring * counts[targets.argmax(axis=1)])


def fitted_temperature(
    scores: Float64, targets: Float64, weights: Float64 | None = None, likelihood: Likelihood = "softmax"
) -> float:
    """What scores (n, K) are best divided by to become logits; above 0."""
    from scipy.optimize import minimize_scalar  # comes with scikit-learn

    n, classes = targets.shape
    doubt = 1 / (n + 2)
    sure = targets > 0
    soft = np.where(sure, 1 - doubt, doubt if likelihood == "sigmoid" else doubt / max(classes - 1, 1))

    def cost(logarithm: float) -> float:
        logits = scores / np.exp(logarithm)
        if likelihood == "sigmoid":
            losses = (np.logaddexp(0, logits) - soft * logits).sum(axis=1)
        else:
            losses = np.logaddexp.reduce(logits, axis=1) - (soft * logits).sum(axis=1)
        return float(np.average(losses, weights=weights))

    return float(np.exp(minimize_scalar(cost, bounds=_TEMPERATURES, method="bounded").x))
