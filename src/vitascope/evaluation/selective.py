"""Risk against coverage: how right the answers are when the least sure ones are withheld.

Sureness is the logarithm of the largest probability's odds. It is counted in narrow bins, so that batches and processes
add up; those of one bin count as equally sure. The area under risk (the share of wrong answers) over coverage (the
share of images answered) is the mean risk of the surest 1, 2, … n images; 0 where every image is right.

Source: Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks" (2017). B images, K classes, S bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.data.source import Int64

_LEAST, _MOST, _WIDTH = -12.0, 52.0, 1 / 64  # of log odds: of one in 160,000 classes, and of what rounds to 1
SURENESS_BINS = round((_MOST - _LEAST) / _WIDTH)
"""S."""
_SHARES = tuple(n / 10 for n in range(1, 11))


def sureness(logits: Tensor) -> Int64:
    """The bin of each row, (B, K) → int64 (B,) in [0, S), rising with sureness."""
    rows = logits.double()
    best = rows.max(dim=1)
    others = rows.scatter(1, best.indices[:, None], -torch.inf).logsumexp(dim=1)
    place = ((best.values - others - _LEAST) / _WIDTH).clamp(0, SURENESS_BINS - 1)
    return place.long().numpy()


def selective(images: Int64, correct: Int64) -> dict[str, Any]:
    """Of images and correct ones by bin, (S,) each, JSON-able: "aurc" and, of each "coverage", the "top1" of those.

    Images of one bin are taken in an order that is left open, in which right and wrong ones are spread evenly.
    """
    filled = np.flatnonzero(images)[::-1]  # the surest first
    right = np.repeat(correct[filled] / images[filled], images[filled]).cumsum()
    n = len(right)
    if not n:
        return {"aurc": 0.0, "coverage": [], "top1": []}
    answered = [max(int(np.ceil(share * n - 1e-9)), 1) for share in _SHARES]
    return {
        "aurc": float(np.mean(1 - right / np.arange(1, n + 1))),
        "coverage": list(_SHARES),
        "top1": [float(right[m - 1] / m) for m in answered],
    }


def selective_text(found: dict[str, Any]) -> str:
    """The accuracy of the surest half and of the surest 80 %, and the area, in a line."""
    rows = zip(found["coverage"], found["top1"], strict=True)
    told = [f"{100 * top1:.1f} % of the surest {100 * share:.0f} %" for share, top1 in rows if share in (0.5, 0.8)]
    return f"right are {' and '.join(told)}; area under risk against coverage {found['aurc']:.4f}"
