"""Classes by nearest neighbours: nothing is fitted, so the features alone are judged.

The k training images of largest cosine vote with weights exp(cosine/τ), as in Wu et al., "Unsupervised Feature
Learning via Non-Parametric Instance Discrimination" (2018), whose τ = 0.07 and k = 20 later work keeps.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vitascope.data.labels import indicator
from vitascope.errors import ConfigError
from vitascope.evaluation.fewshot import Float64, Int64, feature_rows, training_set

NEIGHBOURS = 20
"""k; with fewer training images all of them vote."""
TEMPERATURE = 0.07
"""τ."""
_ROWS = 1024
"""Test images compared at a time, which bounds the (rows, n) cosines."""


def neighbour_predict(
    train_x: npt.ArrayLike,
    train_y: npt.ArrayLike,
    test_x: npt.ArrayLike,
    classes: int,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Int64:
    """Classes of the test images by their nearest training images, int64 (m,) in [0, classes).

    Arguments as of `fewshot_predict`. Neighbours as near as the k-th all vote, so that the order of the training
    images plays no part. Raises `ConfigError`.
    """
    if neighbours < 1:
        raise ConfigError(f"neighbours is {neighbours}, expected at least 1")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ConfigError(f"temperature is {temperature}, expected a number above 0")
    features, labels = training_set(train_x, train_y, classes)
    test = feature_rows(test_x, features.shape[1])
    known = _directions(features)  # (n, d)
    one_hot = indicator(labels, classes).astype(np.float64)  # (n, K)
    farthest = max(len(known) - neighbours, 0)  # place of the k-th largest among n
    predicted = np.empty(len(test), dtype=np.int64)
    for first in range(0, len(test), _ROWS):
        rows = slice(first, first + _ROWS)
        cosine = _directions(test[rows]) @ known.T  # (rows, n)
        least = np.partition(cosine, farthest, axis=1)[:, farthest, None]
        nearest = cosine.max(axis=1, keepdims=True)  # subtracted, so that a small τ leaves one weight of 1
        votes = np.where(cosine >= least, np.exp((cosine - nearest) / temperature), 0.0)
        predicted[rows] = (votes @ one_hot).argmax(axis=1)
    return predicted


def nearest(known_x: npt.ArrayLike, asked_x: npt.ArrayLike, most: int) -> tuple[Int64, Float64]:
    """The `most` of (n, d) with the largest cosine to each of (m, d), nearest first: places and cosines (m, most)."""
    known = feature_rows(known_x)
    cosine = _directions(feature_rows(asked_x, known.shape[1])) @ _directions(known).T
    places = np.argsort(-cosine, axis=1, kind="stable")[:, :most]
    return places, np.take_along_axis(cosine, places, axis=1)


def _directions(features: npt.NDArray[np.floating]) -> Float64:
    """Rows of length 1; a row of zeros stays, and is equally far from all."""
    x = features.astype(np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float64).tiny)
