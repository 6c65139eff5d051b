"""One lesson: of photographs known by their features, the head, what it says of itself, and a checkpoint with it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vitascope.checkpoints.adapt import replace_head
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.prior import CARD as PRIOR
from vitascope.checkpoints.run_files import ENVIRONMENT, MODEL, RESULTS, environment, write_json
from vitascope.checkpoints.save import save
from vitascope.checkpoints.shown import Shown
from vitascope.data.copies import groups
from vitascope.data.source import Int64
from vitascope.errors import DataError
from vitascope.evaluation.fewshot import Float64, signs
from vitascope.evaluation.forecast import forecast
from vitascope.evaluation.metrics import Tally
from vitascope.evaluation.sets import PredictionSets
from vitascope.evaluation.taught import Taught
from vitascope.teaching.balance import decided
from vitascope.teaching.known import Known
from vitascope.teaching.settings import Teaching

log = logging.getLogger(__name__)

TASK = "teaching"
"""What the card of a checkpoint with such a head calls it."""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """An image whose label is likelier wrong than right, given all others."""

    place: int
    """Among the images that are known."""
    instead: int
    """The class that it looks like."""
    wrong: float
    """Probability that its label is wrong."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What came of teaching: a head, and what it knows of itself."""

    known: Known
    """The images that it was taught with."""
    head: Taught
    """In closed form."""
    sets: PredictionSets
    """Which labels an image may have."""
    suspects: tuple[Suspect, ...]
    """Surest first."""
    results: dict[str, Any]
    """JSON-able: "loo_top1", its "interval" and "baseline", by class, "l2", "temperature", "suspects", "test", …"""

    def logits(self, features: npt.NDArray[np.floating]) -> Float64:
        """Of features (n, d), (n, K)."""
        return features @ self.head.weight.T + self.head.bias

    def judge(self, features: npt.NDArray[np.floating], labels: Int64) -> dict[str, Any]:
        """Figures on other images, JSON-able, as `evaluate` gives them."""
        return _judged(torch.from_numpy(self.logits(features)), labels, self.known.classes, self.sets)

    def onto(self, checkpoint: Checkpoint, *, shown: Shown | None, card: dict[str, Any] | None = None) -> Checkpoint:
        """`checkpoint`, whose model lends its weights and should not be used on, with this head."""
        model = replace_head(checkpoint.model.cpu(), len(self.known.classes))
        assert model.head.linear is not None
        with torch.no_grad():
            model.head.linear.weight.copy_(torch.from_numpy(self.head.weight))
            model.head.linear.bias.copy_(torch.from_numpy(self.head.bias))
        told = {PRIOR: self._shares().tolist()}
        return replace(
            checkpoint,
            model=model.eval(),
            labels=self.known.classes,
            activation="softmax",
            card={"task": TASK, **(card or {}), **told, "results": self.results, "origin": checkpoint.card},
            shown=shown,
            sets=self.sets,
            format="vitascope",
        )

    def _shares(self) -> Float64:
        """How often each class occurs where the head's probabilities hold, (K,)."""
        counts = np.bincount(self.known.labels, minlength=len(self.known.classes))
        counts = np.sign(counts) if self.results["balance"] else counts
        return counts / counts.sum()


def learn(known: Known, settings: Teaching) -> Lesson:
    """The head for all that is known; raises `DataError` where there is nothing to tell apart.

    Images of one group, copies of one another, are left out together.
    """
    if len(np.unique(known.labels)) < 2:
        raise DataError("images of one class only, expected two or more to tell apart")
    if contrary := _contradicted(known):
        log.warning("%d images have copies under another label: `vitascope check` lists such", contrary)
    targets = signs(known.labels, len(known.classes))
    head, balance = decided(known.features, targets, known.groups, settings.balance)
    left_out = torch.from_numpy(head.left_out)
    likely = left_out.softmax(dim=1).numpy()
    sets = PredictionSets.fit(likely, known.labels, settings.coverage, by_class=settings.by_class)
    results = _judged(left_out, known.labels, known.classes, sets)
    results["loo_top1"] = results.pop("top1")
    results |= {"l2": head.l2, "temperature": head.temperature, "balance": balance}
    told, gains = forecast(known.features, known.labels, head.left_out, known.groups)
    results["forecast"] = [expected.as_json() for expected in told]
    results["gains"] = {name: float(gain) for name, gain in zip(known.classes, gains, strict=True)} if told else {}
    suspects = _suspects(head, known)
    results |= {"wrong_labels": head.noise, "suspects": [_as_json(suspect, known) for suspect in suspects]}
    return Lesson(known=known, head=head, sets=sets, suspects=suspects, results=results)


def write_lesson(folder: Path, lesson: Lesson, checkpoint: Checkpoint, *, seconds: float) -> dict[str, Any]:
    """Writes a run into an empty folder: `checkpoint` as `onto` made it, results.json, environment.json and what was
    taught. Returns the results. Raises `CheckpointError`.
    """
    results = {**lesson.results, "taught_sha256": lesson.known.write(folder), "seconds": round(seconds, 2)}
    save(checkpoint, folder / MODEL)
    write_json(folder / RESULTS, results)
    write_json(folder / ENVIRONMENT, environment())
    return results


def _contradicted(known: Known) -> int:
    """Images that are copies of one with another label."""
    return sum(len(group) for group in groups(known.groups) if len(np.unique(known.labels[group])) > 1)


def _suspects(head: Taught, known: Known) -> tuple[Suspect, ...]:
    own = known.labels[:, None] == np.arange(len(known.classes))
    instead = np.where(own, -np.inf, head.left_out).argmax(axis=1)
    return tuple(
        Suspect(place=int(i), instead=int(instead[i]), wrong=float(head.wrong[i]))
        for i in np.argsort(-head.wrong, kind="stable")
        if head.wrong[i] > 0.5
    )


def _as_json(suspect: Suspect, known: Known) -> dict[str, Any]:
    return {
        "file": known.names[suspect.place],
        "label": known.classes[known.labels[suspect.place]],
        "looks_like": known.classes[suspect.instead],
        "wrong": suspect.wrong,
    }


def _judged(logits: torch.Tensor, labels: Int64, classes: tuple[str, ...], sets: PredictionSets) -> dict[str, Any]:
    """Figures of logits (n, K), JSON-able, as `evaluate` gives them."""
    tally = Tally(len(classes), sets)
    tally.add(logits, torch.from_numpy(labels))
    return tally.judged(classes)
