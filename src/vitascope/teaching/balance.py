"""Whether every class counts alike, however many images it has: as asked, or by what is right of images left out."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch

from vitascope.data.source import Int64
from vitascope.evaluation.fewshot import Float64
from vitascope.evaluation.metrics import Tally
from vitascope.evaluation.taught import Taught, balanced, teach_head
from vitascope.teaching.settings import Balance

log = logging.getLogger(__name__)


def decided(
    features: npt.NDArray[np.floating], targets: Float64, groups: Int64, balance: Balance
) -> tuple[Taught, bool]:
    """The head for features (n, d) and targets (n, K) of one class each, and whether its classes count alike.

    "auto" takes the larger macro F1 of images left out; where it is the same, each image counts alike.
    """
    heads = {
        even: teach_head(features, targets, weights=balanced(targets) if even else None, groups=groups)
        for even in ((False, True) if balance == "auto" else (balance,))
    }
    scores = {even: _macro_f1(head.left_out, targets) for even, head in heads.items()}
    even = max(scores, key=lambda key: (scores[key], not key))
    if len(scores) > 1:
        told = (
            f"macro F1 {100 * scores[True]:.1f} % with every class alike, {100 * scores[False]:.1f} % with every image"
        )
        log.info("balance auto: %s; images left out decide for the %s", told, "former" if even else "latter")
    return heads[even], even


def _macro_f1(logits: Float64, targets: Float64) -> float:
    tally = Tally(targets.shape[1])
    tally.add(torch.from_numpy(logits), torch.from_numpy(targets.argmax(axis=1)))
    return tally.macro_f1
