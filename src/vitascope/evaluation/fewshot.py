"""Few-shot linear classification in closed form: the ridge regression of Section 4.1 on frozen features.

The official rule (big_vision `evaluators/fewshot_lsr.py`; the paper states neither λ nor the bias): features
standardised by the training set, a constant column of 100 in place of an intercept, targets +1 for an image's class
and −1 for the others, w = (XᵀX + λI)⁻¹XᵀY, the class of the largest score.

Computed in float64: the column of 100 makes XᵀX ill-conditioned, so that at small λ the official float32 code itself
is off in about one prediction of a hundred.

n training images, m test images, d features, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitascope.data.labels import indicator
from vitascope.errors import ConfigError

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

BIAS = 100.0
"""The constant column; so large that λ hardly holds back its weight."""
STD_FLOOR = 1e-5
"""Added to each feature's standard deviation."""
_ROWS = 4096
"""Test images scored at a time, which bounds the float64 copies of them."""


def fewshot_predict(
    train_x: npt.ArrayLike, train_y: npt.ArrayLike, test_x: npt.ArrayLike, classes: int, l2: float = 1024.0
) -> Int64:
    """Classes of the test images by the official few-shot rule, int64 (m,) in [0, classes).

    `train_x` (n, d) and `test_x` (m, d) are features of any range, `train_y` (n,) whole numbers in [0, classes),
    `l2` the λ. The order of the training images plays no part. Raises `ConfigError`. Source: Section 4.1.
    """
    return Ridge.fit(train_x, train_y, classes).predict(test_x, l2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """The regression factored once, to be solved for any number of λ."""

    scale: Standard
    """From features to X, but for the bias column."""
    eigenvalues: Float64
    """(r,), at least 0, of XᵀX where n ≥ d + 1, otherwise of XXᵀ."""
    left: Float64
    """(d + 1, r), Q or XᵀQ with the eigenvectors Q."""
    right: Float64
    """(r, K), QᵀXᵀY or QᵀY."""

    @classmethod
    def fit(cls, train_x: npt.ArrayLike, train_y: npt.ArrayLike, classes: int) -> Ridge:
        """See `fewshot_predict`."""
        features, labels = training_set(train_x, train_y, classes)
        return cls.of(features, signs(labels, classes))

    @classmethod
    def of(cls, features: npt.NDArray[np.floating], targets: Float64, weights: Float64 | None = None) -> Ridge:
        """Of features (n, d) and any targets Y (n, K), each image's error counted `weights` (n,) times."""
        scale, (n, d) = Standard.of(features), features.shape
        times = np.ones(n) if weights is None else weights
        if n > d:
            gram, moment = np.zeros((d + 1, d + 1)), np.zeros((d + 1, targets.shape[1]))
            for first in range(0, n, _ROWS):
                part = slice(first, first + _ROWS)
                x = scale.rows(features[part])
                weighted = (times[part, None] * x).T
                gram, moment = gram + weighted @ x, moment + weighted @ targets[part]
            eigenvalues, left = np.linalg.eigh(gram)
            right = left.T @ moment
        else:
            root = np.sqrt(times)[:, None]
            x = root * scale.rows(features)
            eigenvalues, q = np.linalg.eigh(x @ x.T)
            left, right = x.T @ q, q.T @ (root * targets)
        # XᵀX and XXᵀ have no eigenvalue below 0; rounding may make one.
        return cls(scale=scale, eigenvalues=np.maximum(eigenvalues, 0.0), left=left, right=right)

    def weights(self, l2: float = 1024.0) -> Float64:
        """w, (d + 1, K), the last row that of the bias. Raises `ConfigError` unless λ is a number above 0."""
        if not (l2 > 0 and math.isfinite(l2)):
            raise ConfigError(f"l2 is {l2}, expected a number above 0; the official rule has 1024")
        return (self.left / (self.eigenvalues + l2)) @ self.right

    def scores(self, test_x: npt.ArrayLike, l2: float = 1024.0) -> Float64:
        """Xw, (m, d) → (m, K), about −1 … 1."""
        features = feature_rows(test_x, len(self.scale.mean))
        weights = self.weights(l2)
        parts = (features[first : first + _ROWS] for first in range(0, max(len(features), 1), _ROWS))
        return np.concatenate([self.scale.rows(part) @ weights for part in parts])

    def predict(self, test_x: npt.ArrayLike, l2: float = 1024.0) -> Int64:
        """The class of the largest score, int64 (m,)."""
        return self.scores(test_x, l2).argmax(axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Standard:
    """Standardisation by the training set: (x − mean)/(std + 1e-5), in float64."""

    mean: Float64
    """(d,)."""
    std: Float64
    """(d,), the population's, 1 for a constant, with the floor added."""

    @classmethod
    def of(cls, features: npt.NDArray[np.floating]) -> Standard:
        """Of features (n, d)."""
        x = features.astype(np.float64)
        first = x[0].copy()
        x -= first  # so that nothing at all is left of a constant, whose weight is 0: over the floor alone, rounding
        std = x.std(axis=0)  # would become a weight 100,000 times as large
        return cls(mean=first + x.mean(axis=0), std=np.where(std > 0, std, 1.0) + STD_FLOOR)

    def __call__(self, features: npt.NDArray[np.floating]) -> Float64:
        """(…, d) → (…, d)."""
        return (features - self.mean) / self.std

    def rows(self, features: npt.NDArray[np.floating]) -> Float64:
        """(m, d) → rows of X (m, d + 1), with the bias column."""
        return np.concatenate([self(features), np.full((len(features), 1), BIAS)], axis=1)


def signs(labels: Int64, classes: int) -> Float64:
    """Targets Y (n, K): +1 for an image's class, −1 for the others."""
    return np.where(indicator(labels, classes), 1.0, -1.0)


def training_set(
    train_x: npt.ArrayLike, train_y: npt.ArrayLike, classes: int
) -> tuple[npt.NDArray[np.floating], Int64]:
    """Checked features (n, d) and labels int64 (n,); raises `ConfigError`."""
    features = feature_rows(train_x)
    given = np.asarray(train_y)
    if classes < 1:
        raise ConfigError(f"classes is {classes}, expected at least 1")
    if len(features) == 0:
        raise ConfigError("no training features, expected at least one row")
    if given.shape != (len(features),) or not np.issubdtype(given.dtype, np.integer):
        raise ConfigError(
            f"labels are {given.dtype} of shape {given.shape}, expected one whole number for each of "
            f"{len(features)} rows of features"
        )
    labels = given.astype(np.int64)
    if labels.min() < 0 or labels.max() >= classes:
        raise ConfigError(f"labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}; check classes")
    return features, labels


def feature_rows(values: npt.ArrayLike, width: int | None = None) -> npt.NDArray[np.floating]:
    """Checked features (n, d), of `width` where given; raises `ConfigError`."""
    features = np.asarray(values)
    wanted = "(images, features)" if width is None else f"(images, {width})"
    if features.ndim != 2 or features.shape[1] != (width or features.shape[1]) or features.shape[1] == 0:
        raise ConfigError(f"features of shape {features.shape}, expected {wanted}")
    if not np.issubdtype(features.dtype, np.floating):
        features = features.astype(np.float64)
    if not np.isfinite(features).all():
        raise ConfigError("features hold NaN or infinity, expected finite numbers; the model may have diverged")
    return features
