"""What is counted where an image may have several labels: average precision, F1, calibration, label by label.

Average precision is the area under precision against recall, Σ (R_t − R_{t−1}) P_t over the distinct scores t, without
interpolation, as scikit-learn's `average_precision_score` has it; a ranking is no sum, so that all logits are kept, 4 K
bytes an image. A label is said of an image where its probability is at least one half.

n images, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vitascope.errors import DivergedError
from vitascope.evaluation.metrics import BINS, Processes, Summary
from vitascope.evaluation.sets import PredictionSets

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def average_precision(scores: npt.NDArray[np.floating], has: Bool) -> Float64:
    """Of scores (n, K) whether images have labels (n, K), (K,); NaN for a label that no image has."""
    return np.array([_of_label(scores[:, k], has[:, k]) for k in range(scores.shape[1])])


def _of_label(scores: npt.NDArray[np.floating], has: Bool) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(has[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, dtype=np.int64)
    found = hits[last]  # images with the label among those of a score or a higher one
    if not len(found) or not found[-1]:
        return float("nan")
    return float(np.sum(np.diff(found, prepend=0) * (found / (last + 1))) / found[-1])


class LabelTally:
    """Logits and labels of evaluated images; `add` batches, take those of other processes, then read the results."""

    def __init__(self, classes: int, sets: PredictionSets | None = None) -> None:
        self.classes, self.sets = classes, sets
        self._logits: list[npt.NDArray[np.float32]] = []
        self._has: list[Bool] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Counts a batch: logits (B, K) of any float type, labels bool (B, K), or int64 (B,) where each has one.

        Raises `DivergedError` for logits that are not finite.
        """
        logits, labels = logits.detach().float().cpu(), labels.cpu()
        if not logits.isfinite().all():
            raise DivergedError("the model's outputs are not finite; try a smaller learning rate, or float32")
        if labels.ndim == 1:
            labels = labels[:, None] == torch.arange(self.classes)
        self._logits.append(logits.numpy())
        self._has.append(labels.numpy().astype(np.bool_))

    def over(self, processes: Processes) -> None:
        """Takes the counts of all processes together."""
        parts = processes.gather((self.logits, self.has))
        self._logits, self._has = [logits for logits, _ in parts], [has for _, has in parts]

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """(n, K)."""
        return np.concatenate([np.zeros((0, self.classes), dtype=np.float32), *self._logits])

    @property
    def has(self) -> Bool:
        """(n, K)."""
        return np.concatenate([np.zeros((0, self.classes), dtype=np.bool_), *self._has])

    @property
    def images(self) -> int:
        """Images counted."""
        return sum(map(len, self._has))

    @property
    def score(self) -> float:
        """What tells the better of two models: mean average precision."""
        return float(self.summary()["map"])

    def summary(self) -> Summary:
        """The figures of the whole set, JSON-able: means over the labels that have images; the loss is summed over
        labels, as in training, and "by_chance" is the mean average precision of a random order."""
        has, logits = self.has, self.logits.astype(np.float64)
        occurring = has.any(axis=0)
        likely = _sigmoid(logits)
        place = np.minimum((likely * BINS).astype(np.int64), BINS - 1).ravel()
        gaps = np.bincount(place, weights=(likely - has).ravel(), minlength=BINS)
        losses = np.logaddexp(0, np.where(has, -logits, logits)).sum(axis=1)
        return {
            "images": self.images,
            "map": _mean(average_precision(logits, has)[occurring]),
            "macro_f1": _mean(self._shares()["f1"][occurring]),
            "by_chance": _mean(has.mean(axis=0)[occurring] if len(has) else np.zeros(0)),
            "loss": _mean(losses),
            "calibration_error": float(np.abs(gaps).sum() / max(has.size, 1)),
        }

    def judged(self, classes: Sequence[str]) -> dict[str, Any]:
        """All figures, JSON-able: `summary` with "sets" and "per_label"."""
        return {**self.summary(), "sets": self.of_sets(), "per_label": self.per_label(classes)}

    def per_label(self, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
        """Figures of each label that has images, JSON-able."""
        has, ap, shares = self.has, average_precision(self.logits, self.has), self._shares()
        return {
            name: {
                "images": int(has[:, k].sum()),
                "ap": float(ap[k]),
                **{what: float(values[k]) for what, values in shares.items()},
            }
            for k, name in enumerate(classes)
            if has[:, k].any()
        }

    def of_sets(self) -> dict[str, float] | None:
        """What came of prediction sets, as `Tally.of_sets` has it; "held" is the share of all labels that are in."""
        if self.sets is None:
            return None
        members, has = self.sets.members(_sigmoid(self.logits)), self.has
        n = max(self.images, 1)
        held = float((members & has).sum() / max(int(has.sum()), 1))
        found = {"held": held, "labels": float(members.sum() / n), "none": float((~members.any(axis=1)).sum() / n)}
        return {"coverage": self.sets.coverage, **found, "can_be_none": min(self.sets.least) > 0}

    def _shares(self) -> dict[str, Float64]:
        """Recall, precision and F1 of each label, (K,); 0 where there is none."""
        has, said = self.has, self.logits >= 0
        right, totals, claimed = (has & said).sum(axis=0), has.sum(axis=0), said.sum(axis=0)
        return {
            "recall": right / np.maximum(totals, 1),
            "precision": right / np.maximum(claimed, 1),
            "f1": 2 * right / np.maximum(totals + claimed, 1),
        }


def _sigmoid(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """As torch computes it, so that sets are those that a prediction has."""
    return torch.from_numpy(logits).sigmoid().numpy()


def _mean(values: npt.NDArray[np.floating]) -> float:
    return float(values.mean()) if len(values) else 0.0
