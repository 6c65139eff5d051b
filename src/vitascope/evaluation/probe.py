"""The linear probe: multinomial logistic regression on frozen, standardised features."""

from __future__ import annotations

import logging
import math
import warnings

import numpy as np
import numpy.typing as npt

from vitascope.errors import ConfigError
from vitascope.evaluation.fewshot import Int64, Standard, feature_rows, training_set

log = logging.getLogger(__name__)

_ITERATIONS = 1000
"""Of L-BFGS, at most; standardised features need some dozens."""


def probe_predict(
    train_x: npt.ArrayLike, train_y: npt.ArrayLike, test_x: npt.ArrayLike, classes: int, c: float = 1.0
) -> Int64:
    """Classes of the test images by logistic regression, int64 (m,) in [0, classes).

    Arguments as of `fewshot_predict`; features are standardised by the training set alone, the intercept is free,
    and `c` is scikit-learn's inverse strength of the penalty on the weights. Raises `ConfigError`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not (c > 0 and math.isfinite(c)):
        raise ConfigError(f"c is {c}, expected a number above 0")
    features, labels = training_set(train_x, train_y, classes)
    test = feature_rows(test_x, features.shape[1])
    if len(np.unique(labels)) < 2:
        raise ConfigError("all training images are of one class, expected two or more: there is nothing to tell apart")
    if len(test) == 0:
        return np.zeros(0, dtype=np.int64)
    scale = Standard.of(features)
    model = LogisticRegression(C=c, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scale(features), labels)
    if int(model.n_iter_.max()) >= _ITERATIONS:
        log.warning(
            "the linear probe had not settled after %d iterations; its accuracy may be a little off", _ITERATIONS
        )
    return model.predict(scale(test)).astype(np.int64)
