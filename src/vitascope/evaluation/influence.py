"""Influence: how each training image moved an answer of a taught head, exactly.

Without image i the scores of an image x change by −xᵀA⁻¹x_i w_i (y_i − f_i)/(1 − w_i h_i), A = XᵀWX + λI, with the
leverage h_i and fitted score f_i of `leave_one_out.py`: the head need not be solved again for any of them. What an
image adds to an answer is the opposite of that change (Cook, 1977).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vitascope.evaluation.fewshot import Float64, Ridge

Rows = npt.NDArray[np.floating]


def influences(
    ridge: Ridge, features: Rows, targets: Float64, l2: float, asked: Rows, weights: Float64 | None = None
) -> Float64:
    """What each of n training images adds to the scores of `asked` (d,), (n, K); arguments as of `left_out`."""
    times = np.ones(len(features)) if weights is None else weights
    x, query = ridge.scale.rows(features), ridge.scale.rows(asked[None])
    z, z_query = x @ ridge.left, query @ ridge.left
    shrunk = z / (ridge.eigenvalues + l2)
    own, between = (shrunk * z).sum(axis=1), (shrunk @ z_query.T)[:, 0]
    if len(ridge.eigenvalues) != x.shape[1]:  # those of XXᵀ, by Woodbury's identity
        own, between = ((x**2).sum(axis=1) - own) / l2, ((x @ query.T)[:, 0] - between) / l2
    residuals = (targets - shrunk @ ridge.right) / (1 - times * own)[:, None]
    added: Float64 = (times * between)[:, None] * residuals
    return added
