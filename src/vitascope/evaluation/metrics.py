"""What is counted in an evaluation: sums only, so that batches and processes add up exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import DivergedError
from vitascope.evaluation.interval import wilson
from vitascope.evaluation.selective import SURENESS_BINS, selective, sureness
from vitascope.evaluation.sets import PredictionSets

Summary = dict[str, float | int]
"""The figures of an evaluation, JSON-able."""
BINS = 15
"""Confidence bins of the calibration error (Guo et al., 2017)."""
SCORES = {"top1": "top-1", "map": "mean average precision"}
"""What tells the better of two models, by the name it has in a summary, which holds one of them or the loss alone."""
CONFUSION_CLASSES = 2000
"""With more classes than this the confusion matrix is not kept: it would take K² counts."""


class Processes(Protocol):
    """Those that count together, each its share."""

    def sum(self, array: np.ndarray, /) -> np.ndarray:
        """The sum of all processes' float64 arrays."""

    def gather(self, value: Any, /) -> list[Any]:
        """Every process's value."""


class Tally:
    """Counts over evaluated images; `add` batches, `restore` the sum of all processes', then read the results."""

    def __init__(self, classes: int, sets: PredictionSets | None = None) -> None:
        self.classes, self.sets = classes, sets
        self.top5 = 0.0
        self.loss = 0.0
        self.counts = np.zeros((3, classes), dtype=np.int64)
        """Images and correct images by true class, and all images by the class that was predicted."""
        side = classes if classes <= CONFUSION_CLASSES else 0
        self.confusion = np.zeros((side, side), dtype=np.int64)
        """Images by (true class, predicted class); (0, 0) beyond `CONFUSION_CLASSES`."""
        self.bins = np.zeros((3, BINS))
        """Per confidence bin: images, sum of confidences, correct images."""
        self.inside = np.zeros(3, dtype=np.int64)
        """Images whose prediction set holds their label, labels in all sets, empty sets."""
        self.sure = np.zeros((2, SURENESS_BINS), dtype=np.int64)
        """Images and correct images by how sure the answer was."""

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Counts a batch: logits (B, K) of any float type, labels int64 (B,) in [0, K).

        Raises `DivergedError` for logits that are not finite.
        """
        logits, labels = logits.detach().float().cpu(), labels.cpu()
        if not logits.isfinite().all():
            raise DivergedError("the model's outputs are not finite; try a smaller learning rate, or float32")
        likely = logits.softmax(dim=1)
        confidence, predicted = likely.max(dim=1)
        correct = predicted == labels
        best = logits.topk(min(5, self.classes), dim=1).indices
        self.top5 += float((best == labels[:, None]).any(dim=1).sum())
        self.loss += float(F.cross_entropy(logits.double(), labels, reduction="sum"))
        for row, counted in enumerate((labels, labels[correct], predicted)):
            self.counts[row] += np.bincount(counted.numpy(), minlength=self.classes)
        if self.confusion.size:
            np.add.at(self.confusion, (labels.numpy(), predicted.numpy()), 1)
        place = torch.clamp((confidence * BINS).long(), max=BINS - 1).numpy()
        for row, values in enumerate((np.ones(len(place)), confidence.numpy(), correct.numpy())):
            self.bins[row] += np.bincount(place, weights=values, minlength=BINS)
        sure = sureness(logits)
        for row, counted in enumerate((sure, sure[correct.numpy()])):
            self.sure[row] += np.bincount(counted, minlength=SURENESS_BINS)
        if self.sets is not None:
            members = self.sets.members(likely.numpy())
            held = members[np.arange(len(members)), labels.numpy()].sum()
            self.inside += np.array([held, members.sum(), (~members.any(axis=1)).sum()])

    def vector(self) -> np.ndarray:
        """All counts in one float64 row, which processes can sum."""
        parts = (self.counts, self.confusion, self.bins, self.inside, self.sure)
        return np.concatenate([[self.top5, self.loss], *(part.ravel() for part in parts)])

    def restore(self, vector: np.ndarray) -> None:
        """Takes over the counts of a `vector`, for example the sum over processes."""
        self.top5, self.loss = float(vector[0]), float(vector[1])
        start = 2
        for name in ("counts", "confusion", "bins", "inside", "sure"):
            part: np.ndarray = getattr(self, name)
            values = vector[start : start + part.size].reshape(part.shape)
            setattr(self, name, np.rint(values).astype(np.int64) if part.dtype == np.int64 else values)
            start += part.size

    def over(self, processes: Processes) -> None:
        """Takes the counts of all processes together."""
        self.restore(processes.sum(self.vector()))

    @property
    def images(self) -> int:
        """Images counted."""
        return int(self.counts[0].sum())

    @property
    def top1(self) -> float:
        """Share of images whose best class is right, in [0, 1]."""
        return float(self.counts[1].sum()) / max(self.images, 1)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean gap between confidence and accuracy over the bins, in [0, 1]."""
        return float(np.abs(self.bins[1] - self.bins[2]).sum()) / max(self.images, 1)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have images, in [0, 1]."""
        return float(np.mean(self._f1()[self.counts[0] > 0])) if self.images else 0.0

    def per_class(self, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
        """Figures of each class that has images, JSON-able: "top1" is recall; 0 where there is no precision."""
        totals, correct, said = self.counts
        precision, f1 = correct / np.maximum(said, 1), self._f1()
        return {
            name: {
                "images": int(totals[i]),
                "top1": float(correct[i] / totals[i]),
                "precision": float(precision[i]),
                "f1": float(f1[i]),
            }
            for i, name in enumerate(classes)
            if totals[i]
        }

    def judged(self, classes: Sequence[str]) -> dict[str, Any]:
        """All figures, JSON-able: `summary`, "interval" (95 % of top-1), "baseline", "macro_f1", "selective", "sets",
        "mixed_up", "per_class"."""
        summary = self.summary()
        return {
            **summary,
            "interval": list(wilson(self.top1, self.images)),
            "baseline": baseline(self.counts[0], classes),
            "macro_f1": self.macro_f1,
            "selective": selective(*self.sure),
            "sets": self.of_sets(),
            "mixed_up": self.mixed_up(classes),
            "per_class": self.per_class(classes),
        }

    def mixed_up(self, classes: Sequence[str], most: int = 20) -> list[dict[str, Any]]:
        """Which classes are taken for which, JSON-able, the most frequent first; nothing beyond `CONFUSION_CLASSES`."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        pairs = np.argwhere(wrong)
        order = np.argsort(-wrong[tuple(pairs.T)], kind="stable")[:most]
        return [
            {"class": classes[true], "taken_for": classes[said], "images": int(wrong[true, said])}
            for true, said in pairs[order].tolist()
        ]

    def of_sets(self) -> dict[str, float] | None:
        """What came of prediction sets, JSON-able: coverage stated and found, labels in a set, share of empty ones, and
        whether there can be any.
        """
        if self.sets is None:
            return None
        held, labels, empty = (self.inside / max(self.images, 1)).tolist()
        possible = self.sets.can_be_empty(self.classes)
        told = {"coverage": self.sets.coverage, "held": held, "labels": labels}
        return {**told, "none": empty, "can_be_none": possible}

    def _f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, (K,); 0 for a class that neither occurs nor is said."""
        totals, correct, said = self.counts
        return 2 * correct / np.maximum(totals + said, 1)

    @property
    def score(self) -> float:
        """What tells the better of two models: top-1."""
        return self.top1

    def summary(self) -> Summary:
        """The figures of the whole set, JSON-able."""
        n = max(self.images, 1)
        return {
            "images": self.images,
            "top1": self.top1,
            "top5": self.top5 / n,
            "loss": self.loss / n,
            "calibration_error": self.calibration_error,
        }


def baseline(counts: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """The largest class, and the share of images, `counts` (K,) by class, that always naming it gets right."""
    largest = int(counts.argmax())
    return {"class": classes[largest], "top1": int(counts[largest]) / max(int(counts.sum()), 1)}
