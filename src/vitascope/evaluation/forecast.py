"""What more photographs would bring: from the error that an eighth of the images gives and that of all, onwards.

An error falls about as a power of the number of images, and ever less so: each further doubling brings `DAMPING` of
what the one before did, in logarithms. The constants were chosen on features of CIFAR-10, with 2, 3 and 10 classes and
60 to 400 images, such that the intervals hold at twice and four times as many.

n images, d features, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.data.source import Int64
from vitascope.evaluation.fewshot import Float64, Ridge, signs
from vitascope.evaluation.interval import normal
from vitascope.evaluation.leave_one_out import left_out_errors
from vitascope.evaluation.taught import LAMBDAS
from vitascope.streams import Stream, generator

DAMPING = 0.85
"""Share of a doubling's gain, in logarithms of the error, that the next one brings."""
_SCATTER, _SLOPE = 2.0, 0.4
"""Variance of a logarithm of the error beside that of counting alone, and the relative deviation of its slope."""
_PART, _DRAWS = 8, 8
"""The share of the images that is taught again is one in `_PART`, drawn so often."""
_JUDGED = 20_000
"""Of the other images so many at most judge it."""
_ALIKE = 30
"""Images of a class from which its own slope counts more than that of all."""
LEAST, LEAST_OF_EACH = 40, 6
"""Images, and images a class, below which nothing is foretold: of 4 or 5 a class 44 to 91 % of intervals held."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What accuracy to expect of more images like these."""

    images: int
    """In all, of the same mixture of classes."""
    top1: float
    """In [0, 1]."""
    interval: tuple[float, float]
    """About 95 % of such intervals hold the accuracy that comes of so many: `results/teach`, 96 % at twice and at four
    times as many."""

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"images": self.images, "top1": self.top1, "interval": list(self.interval)}


def least(classes: int) -> int:
    """Images that do not belong together from which something is foretold of so many classes."""
    return max(LEAST, LEAST_OF_EACH * classes)


def forecast(
    features: npt.NDArray[np.floating], labels: Int64, left_out: Float64, groups: Int64, seed: int = 0
) -> tuple[list[Forecast], Float64]:
    """At twice and four times the images, and each class's gain from twice its own, (K,), in shares of its images.

    `features` (n, d), `labels` (n,), `left_out` (n, K) logits of the images left out, `groups` (n,) what belongs
    together. Nothing, and no gains, for fewer than `least` of them; NaN for a class of fewer than `LEAST_OF_EACH`.
    """
    n, classes = left_out.shape
    units = len(np.unique(groups))
    if units < least(classes):
        return [], np.zeros(classes)
    counts = np.array([n, *np.bincount(labels, minlength=classes)])
    now = _shares(left_out.argmax(axis=1) != labels, labels, classes)
    draws = np.array([_of_a_part(features, labels, classes, groups, seed, draw) for draw in range(_DRAWS)])
    before = np.nansum(draws, axis=0) / np.maximum((~np.isnan(draws)).sum(axis=0), 1)
    floor = 0.5 / np.maximum(counts, 1)
    slopes = np.log(np.maximum(now, floor) / np.maximum(before, floor)) / math.log2(_PART)
    slopes = np.minimum(np.nan_to_num(slopes, nan=0.0), 0.0)
    found = []
    for doublings in (1, 2):
        steps = sum(DAMPING**step for step in range(1, doublings + 1))
        error = max(now[0], floor[0])
        middle = math.log(error) + steps * slopes[0]
        deviation = math.sqrt(_SCATTER * (1 - error) / (error * units) + (_SLOPE * steps * slopes[0]) ** 2)
        half = normal() * deviation
        low, high = (max(1 - math.exp(middle + sign * half), 0.0) for sign in (1, -1))
        found.append(Forecast(images=n * 2**doublings, top1=1 - math.exp(middle), interval=(low, high)))
    trust = counts[1:] / (counts[1:] + _ALIKE)
    own = trust * slopes[1:] + (1 - trust) * slopes[0]
    gains = np.nan_to_num(now[1:]) * (1 - np.exp(DAMPING * own))
    return found, np.where(counts[1:] < LEAST_OF_EACH, np.nan, gains)


def _of_a_part(
    features: npt.NDArray[np.floating], labels: Int64, classes: int, groups: Int64, seed: int, draw: int
) -> Float64:
    """Error of other images and of each class, (1 + K,), by a head that learned from one image in `_PART`.

    Whole groups are drawn, until there are so many images.
    """
    n = len(labels)
    order = generator(Stream.FORECAST, seed, draw).permutation(n)
    _, first, unit, sizes = np.unique(groups[order], return_index=True, return_inverse=True, return_counts=True)
    drawn_with = np.zeros(n, dtype=np.int64)  # images that come with each of the order, which is the first of its group
    drawn_with[first] = sizes
    taken = (np.cumsum(drawn_with) - drawn_with)[first[unit]] < n // _PART
    drawn, judged = order[taken], order[~taken][:_JUDGED]
    targets = signs(labels[drawn], classes)
    ridge = Ridge.of(features[drawn], targets)
    l2 = LAMBDAS[int(left_out_errors(ridge, features[drawn], targets, LAMBDAS, groups=groups[drawn]).argmin())]
    return _shares(ridge.predict(features[judged], l2) != labels[judged], labels[judged], classes)


def _shares(missed: npt.NDArray[np.bool_], labels: Int64, classes: int) -> Float64:
    """Share of images, and of those of each class, that were missed, (1 + K,); NaN of none."""
    counts = np.array([len(labels), *np.bincount(labels, minlength=classes)])
    wrong = np.array([missed.sum(), *np.bincount(labels[missed], minlength=classes)])
    return np.divide(wrong, counts, out=np.full(1 + classes, np.nan), where=counts > 0)
