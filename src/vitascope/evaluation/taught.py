"""A classifier's head in closed form: the few-shot evaluator's regression (Section 4.1), made a product.

λ is the one whose leave-one-out error is smallest; standardisation and temperature are folded into weights and bias, so
that the result is the ordinary linear layer of a checkpoint. Temperature (Guo et al., 2017) and ε, the share of wrong
labels, are those under which the labels of images left out are likeliest: a label is drawn by the head's probabilities,
or, with probability ε, is any other. So every label has a probability of being wrong, given the rest of the data. Of
several labels an image each has its own column, temperature and offset (`label_probabilities.py`).

n images, d features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vitascope.evaluation.fewshot import Float64, Int64, Ridge
from vitascope.evaluation.label_probabilities import fitted_labels, observed, right_labels
from vitascope.evaluation.leave_one_out import left_out, left_out_errors

LAMBDAS = tuple(4.0**power for power in range(-3, 14))
"""Among which λ is chosen: from next to none to where all scores are alike. The official rule's 4⁵ is one of them."""
_BOUNDS = ((-7.0, 3.0), (1e-6, 0.49))
"""Of the temperature's logarithm, scores being about −1 … 1, and of ε."""
_SOUND = 50
"""As many labels with one wrong among them stand for what is known of ε beforehand: data sets have some percent wrong
(Northcutt et al., 2021, find 3.4 % in ten test sets)."""
_ENOUGH = 5_000
"""Images that the two are fitted on."""

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
    temperature: float | Float64
    """What scores were divided by; with sigmoids (K,), of each label."""
    noise: float
    """ε, about which share of the labels is wrong."""
    wrong: Float64
    """(n,) probability that the label of an image is wrong; with sigmoids (n, K), of each label by itself."""
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
    temperature: float | Float64
    noise: float | Float64
    if likelihood == "sigmoid":
        step = -(-len(scores) // _ENOUGH)
        slope, offset, noise = fitted_labels(scores[::step], targets[::step], _SOUND)
        temperature, logits = 1 / slope, slope * scores + offset
        right = right_labels(logits, targets)
        seen = observed(right, noise)
    else:
        temperature, noise = fitted_probabilities(scores, targets, weights)
        offset, logits = np.zeros(targets.shape[1]), scores / temperature
        right = np.exp(_logarithms(logits, targets)[0])
        seen = _observed(right, noise, targets)
    solved = ridge.weights(l2)
    weight = (solved[:-1] / ridge.scale.std[:, None]).T
    bias = ridge.scale.rows(np.zeros((1, features.shape[1]), dtype=np.float64)) @ solved
    return Taught(
        weight=(weight.T / temperature).T,
        bias=bias[0] / temperature + offset,
        l2=l2,
        temperature=temperature,
        noise=float(np.mean(noise)),
        wrong=1 - (1 - noise) * right / seen,
        left_out=logits,
    )


def balanced(targets: Float64) -> Float64:
    """Weights (n,) under which every class counts alike, n in all; of targets with one class each."""
    counts = (targets > 0).sum(axis=0)
    occurring = np.count_nonzero(counts)
    return len(targets) / (occurring * counts[targets.argmax(axis=1)])


def fitted_probabilities(scores: Float64, targets: Float64, weights: Float64 | None = None) -> tuple[float, float]:
    """What scores (n, K) are best divided by to become logits, above 0, and ε in [0, ½).

    One image in n + 2 counts as another class, however sure the head is of its own: no certainty comes of n images.
    """
    from scipy.optimize import minimize  # comes with scikit-learn

    step = -(-len(scores) // _ENOUGH)
    scores, targets = scores[::step], targets[::step]
    times = None if weights is None else weights[::step]
    doubt = 1 / (len(scores) + 2)

    def cost(values: Float64) -> float:
        own, contrary = _logarithms(scores / np.exp(values[0]), targets)
        said = np.log(_observed(np.exp(own), values[1], targets))
        losses = -(1 - doubt) * said - doubt * contrary
        prior = np.log(values[1]) + (_SOUND - 1) * np.log(1 - values[1])
        return float(np.average(losses, weights=times) - prior / said.size)

    tries = [minimize(cost, (start, 0.05), method="Nelder-Mead", bounds=_BOUNDS) for start in (-2.0, 0.0)]
    logarithm, noise = min(tries, key=lambda found: found.fun).x
    return float(np.exp(logarithm)), float(noise)


def _logarithms(logits: Float64, targets: Float64) -> tuple[Float64, Float64]:
    """Log probability of each label, and the mean of what contradicts it: (n,) each."""
    logs = logits - np.logaddexp.reduce(logits, axis=1)[:, None]
    own = np.where(targets > 0, logs, 0.0).sum(axis=1)
    return own, (logs.sum(axis=1) - own) / max(logits.shape[1] - 1, 1)


def _observed(right: Float64, noise: float, targets: Float64) -> Float64:
    """Probability of the labels as they stand, where `right` is that of their being true."""
    others = max(targets.shape[1] - 1, 1)
    return (1 - noise) * right + noise * (1 - right) / others
