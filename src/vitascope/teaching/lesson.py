"""One lesson: of photographs known by their features, the head, what it says of itself, and a checkpoint with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vitascope.checkpoints.adapt import replace_head
from vitascope.checkpoints.checkpoint import Activation, Checkpoint, probabilities
from vitascope.checkpoints.prior import CARD as PRIOR
from vitascope.checkpoints.run_files import ENVIRONMENT, MODEL, RESULTS, environment, write_json
from vitascope.checkpoints.save import save
from vitascope.checkpoints.shown import Shown
from vitascope.data.labels import indicator
from vitascope.data.source import Labels
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.answers import Answers
from vitascope.evaluation.fewshot import Float64
from vitascope.evaluation.forecast import forecast
from vitascope.evaluation.label_metrics import LabelTally
from vitascope.evaluation.metrics import SCORES, Tally
from vitascope.evaluation.sets import PredictionSets
from vitascope.evaluation.taught import Taught, teach_head
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
    """The class that it looks like; of several labels the one that it wrongly has, or lacks."""
    wrong: float
    """Probability that its label is wrong."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What came of teaching: a head, and what it knows of itself."""

    known: Known
    """The images that it was taught with."""
    head: Taught
    """In closed form."""
    sets: PredictionSets | None
    """Which labels an image may have; None where the features were fitted to the labels of images it is taught with."""
    suspects: tuple[Suspect, ...]
    """Surest first."""
    results: dict[str, Any]
    """JSON-able: "loo_top1", its "interval" and "baseline", by class, "l2", "temperature", "suspects", "test", …; of
    several labels an image "loo_map", by label, and no forecast. "trained_on": to the labels of how many of the images
    the features were fitted, which flatters all of it; then neither sets nor forecast are made."""

    def logits(self, features: npt.NDArray[np.floating]) -> Float64:
        """Of features (n, d), (n, K)."""
        return features @ self.head.weight.T + self.head.bias

    def judge(self, features: npt.NDArray[np.floating], labels: Labels) -> dict[str, Any]:
        """Figures on other images, JSON-able, as `evaluate` gives them."""
        return _judged(self.logits(features), labels, self.known, self.sets)

    def answers(self, features: npt.NDArray[np.floating], labels: Labels) -> Answers:
        """What is said of each of these images."""
        return Answers.of(torch.from_numpy(self.logits(features)), labels)

    def left_out(self) -> tuple[dict[str, Any], Answers]:
        """Figures, JSON-able as `evaluate` gives them, and answers of the images that it was taught with, each by the
        head without it."""
        figures = {name.removeprefix("loo_"): value for name, value in self.results.items()}
        return figures, Answers.of(torch.from_numpy(self.head.left_out), self.known.labels)

    def onto(self, checkpoint: Checkpoint, *, shown: Shown | None, card: dict[str, Any] | None = None) -> Checkpoint:
        """`checkpoint`, whose model lends its weights and should not be used on, with this head."""
        model = replace_head(checkpoint.model.cpu(), len(self.known.classes))
        assert model.head.linear is not None
        with torch.no_grad():
            model.head.linear.weight.copy_(torch.from_numpy(self.head.weight))
            model.head.linear.bias.copy_(torch.from_numpy(self.head.bias))
        told = {} if self.known.several else {PRIOR: self._shares().tolist()}
        return replace(
            checkpoint,
            model=model.eval(),
            labels=self.known.classes,
            activation=_activation(self.known),
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


def learn(known: Known, settings: Teaching, shown: Shown | None = None) -> Lesson:
    """The head for all that is known; raises `DataError` where there is nothing to tell apart.

    Images of one group, copies of one another or what the user says, are left out together. `shown` is what the
    features' model was.
    """
    targets = known.targets
    if known.keys is not None and len(np.unique(known.groups)) < 2:
        raise DataError("all images are of one group, expected several, of which each can be left out")
    if known.several:
        if settings.balance:
            raise ConfigError(
                "balance counts classes alike, of which an image has one; these images have several labels"
            )
        if not len(known) or (targets == targets[0]).all():
            raise DataError("all images have the same labels, expected some to tell apart")
    elif len(np.unique(known.labels)) < 2:
        raise DataError("images of one class only, expected two or more to tell apart")
    if known.several:
        head, balance = teach_head(known.features, targets, groups=known.groups, likelihood="sigmoid"), False
    else:
        head, balance = decided(known.features, targets, known.groups, settings.balance)
    trained_on = 0 if shown is None else int(np.isin(known.marks, shown.features).sum())
    if 0 < trained_on <= _HARDLY * len(known):
        log.info("the features were fitted to %d of these %s images, too few to flatter", trained_on, f"{len(known):,}")
        trained_on = 0
    sets = None
    if not trained_on:
        likely = probabilities(torch.from_numpy(head.left_out), _activation(known)).numpy()
        sets = PredictionSets.fit(likely, known.labels, settings.coverage, by_class=settings.by_class)
    results = _judged(head.left_out, known.labels, known, sets)
    score = next(name for name in SCORES if name in results)
    results[f"loo_{score}"] = results.pop(score)
    results |= {"l2": head.l2, "temperature": np.asarray(head.temperature).tolist(), "balance": balance}
    results |= _NOTHING_FORETOLD if known.several or trained_on else _foretold(known, head)
    results |= {"trained_on": trained_on}
    suspects = _suspects(head, known)
    results |= {"wrong_labels": head.noise, "suspects": [_as_json(suspect, known) for suspect in suspects]}
    return Lesson(known=known, head=head, sets=sets, suspects=suspects, results=results)


def write_lesson(
    folder: Path, lesson: Lesson, checkpoint: Checkpoint, *, seconds: float, command: Sequence[str] | None = None
) -> dict[str, Any]:
    """Writes a run into an empty folder: `checkpoint` as `onto` made it, results.json, environment.json and what was
    taught. Returns the results. Raises `CheckpointError`.
    """
    results = {**lesson.results, "taught_sha256": lesson.known.write(folder), "seconds": round(seconds, 2)}
    save(checkpoint, folder / MODEL)
    write_json(folder / RESULTS, results)
    write_json(folder / ENVIRONMENT, environment(command))
    return results


def _suspects(head: Taught, known: Known) -> tuple[Suspect, ...]:
    wrong = head.wrong.reshape(len(known), -1)
    instead = np.where(indicator(known.labels, len(known.classes)), -np.inf, head.left_out).argmax(axis=1)
    doubtful = np.argwhere(wrong > 0.5)
    return tuple(
        Suspect(place=int(i), instead=int(k if known.several else instead[i]), wrong=float(wrong[i, k]))
        for i, k in doubtful[np.argsort(-wrong[tuple(doubtful.T)], kind="stable")]
    )


def _as_json(suspect: Suspect, known: Known) -> dict[str, Any]:
    label, instead = known.label_of(suspect.place), known.classes[suspect.instead]
    if known.several:
        label, instead = instead, f"not {instead}"
        if not known.labels[suspect.place, suspect.instead]:
            label, instead = instead, label
    return {"file": known.names[suspect.place], "label": label, "looks_like": instead, "wrong": suspect.wrong}


def _judged(logits: Float64, labels: Labels, known: Known, sets: PredictionSets | None) -> dict[str, Any]:
    """Figures of logits (n, K), JSON-able, as `evaluate` gives them."""
    tally = (LabelTally if known.several else Tally)(len(known.classes), sets)
    tally.add(torch.from_numpy(logits), torch.from_numpy(labels))
    return tally.judged(known.classes)


def _activation(known: Known) -> Activation:
    return "sigmoid" if known.several else "softmax"


_HARDLY = 0.01
"""Share of the images that features may have been fitted to without being told: it moves a figure by that at most."""
_NOTHING_FORETOLD: dict[str, Any] = {"forecast": [], "gains": {}}
"""As of several labels an image, on which the forecast was not measured."""


def _foretold(known: Known, head: Taught) -> dict[str, Any]:
    """What more images would bring, JSON-able."""
    told, gains = forecast(known.features, known.labels.astype(np.int64, copy=False), head.left_out, known.groups)
    by_class = zip(known.classes, gains.tolist(), strict=True) if told else ()
    foretold = {name: gain for name, gain in by_class if np.isfinite(gain)}
    return {"forecast": [expected.as_json() for expected in told], "gains": foretold}
