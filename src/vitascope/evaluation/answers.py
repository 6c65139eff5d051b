"""What was said of each image of an evaluation, beside the sums: which were wrong, and how sure the answer was.

Kept are truth, answer and probability: 28 bytes an image, whatever the number of classes; where an image may have
several labels, 2 K bytes and 12 more. n images, B of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vitascope.data.labels import indicator, label_sets, set_name
from vitascope.data.source import Int64, Labels, Source, View
from vitascope.evaluation.label_metrics import LabelTally
from vitascope.evaluation.metrics import Processes, Summary, Tally


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """n images and what was said of them."""

    places: Int64
    """(n,) where each stands among the images that were to be judged; rising."""
    truth: Labels
    """(n,), or (n, K) where an image may have several labels."""
    said: Labels
    """The likeliest class, (n,); or the labels that are likelier than not, (n, K)."""
    probability: npt.NDArray[np.float32]
    """(n,), of what was said. Of several labels each is said or denied: of those decisions that are wrong the surest,
    of an image where all are right the least sure."""

    @classmethod
    def of(cls, logits: Tensor, truth: Labels, places: Int64 | None = None) -> Answers:
        """Of logits (n, K) of any float type, for labels (n,), or for (n, K) each by itself; the counts of `Tally` and
        `LabelTally` are theirs."""
        logits = logits.detach().float().cpu()
        places = np.arange(len(logits), dtype=np.int64) if places is None else places
        if truth.ndim == 1:
            probability, said = logits.softmax(dim=1).max(dim=1)
            return cls(places=places, truth=truth, said=said.numpy(), probability=probability.numpy())
        has, likely = truth.astype(np.bool_), logits.sigmoid().numpy()
        claimed = logits.numpy() >= 0
        sure, wrong = np.where(claimed, likely, 1 - likely), claimed != has
        surest = np.where(wrong, sure, 0.0).max(axis=1, initial=0.0)
        least = sure.min(axis=1, initial=1.0)
        probability_of = np.where(wrong.any(axis=1), surest, least).astype(np.float32)
        return cls(places=places, truth=has, said=claimed, probability=probability_of)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(n,)."""
        same: npt.NDArray[np.bool_] = self.truth == self.said
        return same if same.ndim == 1 else np.logical_and.reduce(same, axis=1)

    def mistakes(self) -> Int64:
        """Rows of what was wrong, the most confident first."""
        rows = np.flatnonzero(~self.right)
        return rows[np.argsort(-self.probability[rows], kind="stable")]

    def in_order(self) -> Int64:
        """All rows: `mistakes`, then what was right, the least sure first."""
        rows = np.flatnonzero(self.right)
        return np.concatenate([self.mistakes(), rows[np.argsort(self.probability[rows], kind="stable")]])

    def examples(self, label: int) -> Int64:
        """Rows of images with a label of which all that was said is right, the surest first."""
        has = self.truth == label if self.truth.ndim == 1 else self.truth[:, label]
        rows = np.flatnonzero(self.right & has)
        return rows[np.argsort(-self.probability[rows], kind="stable")]

    def names(self, row: int, classes: Sequence[str]) -> tuple[str, str]:
        """What people call the truth and the answer."""
        truth, said = (set_name(label_sets(part[row : row + 1])[0], classes) for part in (self.truth, self.said))
        return truth, said


class Answering:
    """Counts into a tally, and keeps the answers: `add` batches whose labels are the places of `numbered`."""

    def __init__(self, tally: Tally | LabelTally, labels: Labels) -> None:
        self.tally = tally
        self.labels: Labels = indicator(labels, tally.classes) if isinstance(tally, LabelTally) else labels
        """As the tally counts them."""
        self._parts: list[Answers] = []

    def add(self, logits: Tensor, places: Tensor) -> None:
        """Counts a batch: logits (B, K) of any float type, int64 (B,). Raises `DivergedError`."""
        at = places.cpu().numpy()
        labels = self.labels[at]
        self.tally.add(logits, torch.from_numpy(labels))
        self._parts.append(Answers.of(logits, labels, at))

    def over(self, processes: Processes) -> None:
        """Takes the counts and answers of all processes together."""
        self.tally.over(processes)
        self._parts = list(processes.gather(self.answers))

    @property
    def answers(self) -> Answers:
        """All of them, in the order of the images."""
        nothing = Answers.of(torch.zeros(0, self.tally.classes), self.labels[:0])
        parts = [nothing, *self._parts]
        names = ("places", "truth", "said", "probability")
        whole: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.argsort(whole["places"], kind="stable")
        return Answers(**{name: values[order] for name, values in whole.items()})

    @property
    def images(self) -> int:
        """Images counted."""
        return self.tally.images

    @property
    def score(self) -> float:
        """What tells the better of two models."""
        return self.tally.score

    def summary(self) -> Summary:
        """The figures of the whole set, JSON-able."""
        return self.tally.summary()

    def judged(self, classes: Sequence[str]) -> dict[str, Any]:
        """All figures, JSON-able."""
        return self.tally.judged(classes)


def numbered(source: Source) -> View:
    """The images of `source`, each labelled by its own place."""
    return View(source, labels=np.arange(len(source), dtype=np.int64))
