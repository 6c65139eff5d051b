"""Leave-one-out in closed form: what a ridge regression would say of each training image, had it not seen it.

Without image i the regression's score of it is y_i − (y_i − f_i)/(1 − w_i h_i), with its fitted score f_i, weight w_i
and leverage h_i = x_iᵀA⁻¹x_i, A = XᵀWX + λI: one factorisation answers for every image and every λ. Images that belong
together are left out together: their residuals are (I − H W)⁻¹(Y − F) with their block H of XA⁻¹Xᵀ. The features' mean
and standard deviation, which take no label, are those of all images.

Source: the PRESS statistic (Allen, 1974). Shapes as in `fewshot.py`; G values of λ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from vitascope.data.copies import groups as members
from vitascope.evaluation.fewshot import Float64, Int64, Ridge

Rows = npt.NDArray[np.floating]

_ROWS = 1024
"""Images left out at a time, which bounds the float64 copies of them."""


def left_out_errors(
    ridge: Ridge,
    features: Rows,
    targets: Float64,
    l2: Sequence[float],
    weights: Float64 | None = None,
    groups: Int64 | None = None,
) -> Float64:
    """Mean squared error of what is said of images left out, for every λ, (G,); for arguments see `left_out`."""
    times = np.ones(len(features)) if weights is None else weights
    total = np.zeros(len(l2))
    for rows in _parts(len(features), groups):
        for number, residuals in enumerate(_residuals(ridge, features, targets, l2, times, rows)):
            total[number] += float((times[np.ravel(rows), None] * residuals**2).sum())
    return total / (times.sum() * targets.shape[1])


def left_out(
    ridge: Ridge,
    features: Rows,
    targets: Float64,
    l2: float,
    weights: Float64 | None = None,
    groups: Int64 | None = None,
) -> Float64:
    """Scores (n, K) of every image by the regression that has not seen it, nor others of its group.

    `ridge` was made of the same `features` (n, d), `targets` (n, K) and `weights` (n,); `groups` (n,) numbers what
    belongs together, None where each image stands alone.
    """
    times = np.ones(len(features)) if weights is None else weights
    scores = np.empty(targets.shape)
    for rows in _parts(len(features), groups):
        (residuals,) = _residuals(ridge, features, targets, [l2], times, rows)
        scores[np.ravel(rows)] = targets[np.ravel(rows)] - residuals
    return scores


def _parts(n: int, groups: Int64 | None) -> Iterator[Int64]:
    """Positions: (m,) of images that stand alone, (1, m) of a group."""
    together = [] if groups is None else members(groups)
    alone = np.setdiff1d(np.arange(n), np.concatenate([np.zeros(0, dtype=np.int64), *together]))
    yield from (alone[first : first + _ROWS] for first in range(0, len(alone), _ROWS))
    yield from (group[None] for group in together)


def _residuals(
    ridge: Ridge, features: Rows, targets: Float64, l2: Sequence[float], times: Float64, rows: Int64
) -> Iterator[Float64]:
    """Targets less what is said of the images at `rows` when left out, (m, K), for one λ after another."""
    place = np.ravel(rows)
    x, w = ridge.scale.rows(features[place]), times[place]
    z = x @ ridge.left
    primal = len(ridge.eigenvalues) == x.shape[1]  # the eigenvectors are those of XᵀX; otherwise Woodbury's identity
    squares = z**2 if rows.ndim == 1 else None
    for value in l2:
        shrinking = 1 / (ridge.eigenvalues + value)
        residuals = targets[place] - z @ (shrinking[:, None] * ridge.right)  # (m, K)
        if squares is not None:
            inner = squares @ shrinking
            leverage = inner if primal else ((x**2).sum(axis=1) - inner) / value
            yield residuals / (1 - w * leverage)[:, None]
        else:
            inner = (z * shrinking) @ z.T
            block = inner if primal else (x @ x.T - inner) / value
            solved = np.linalg.solve(np.eye(len(place)) - block * w, residuals)
            yield solved.astype(np.float64, copy=False)
