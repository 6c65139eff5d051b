"""Teaching: a checkpoint's frozen features, a head in closed form (Section 4.1), and what it knows of itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.adapt import replace_head
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import atomic_folder
from vitascope.checkpoints.save import save
from vitascope.checkpoints.shown import shown_to
from vitascope.data.copies import digests, find_copies, groups
from vitascope.data.open import open_data
from vitascope.data.source import Int64, Source, Splits
from vitascope.device import resolve_device
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.features import FeatureStore, features_folder
from vitascope.evaluation.fewshot import signs
from vitascope.evaluation.forecast import forecast
from vitascope.evaluation.metrics import Tally
from vitascope.evaluation.sets import PredictionSets
from vitascope.evaluation.taught import Taught, balanced, teach_head
from vitascope.inference.engines.auto import Auto, make_engine
from vitascope.recipes.asked import Teach, Teaching
from vitascope.recipes.evaluation import relabelled
from vitascope.recipes.known import Known, read_taught
from vitascope.recipes.run_folder import ENVIRONMENT, MODEL, RESULTS, environment, write_json

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What came of teaching."""

    checkpoint: Checkpoint
    """With the head; its card holds `results`."""
    known: Known
    """The images that it was taught with."""
    results: dict[str, Any]
    """JSON-able: "loo_top1", its "interval" and "baseline", by class, "l2", "temperature", "suspects", "test", …"""


def teach_run(asked: Teach, progress: Progress | None = None) -> Lesson:
    """Teaches and writes RUN: the model, results.json, environment.json and what was taught, wholly or not at all.

    Raises `UserError` for what the user can mend.
    """
    begun = time.monotonic()
    earlier, before = read_taught(asked.checkpoint), None
    if earlier is not None:
        before = earlier[0].without(asked.forget)
        if asked.image_size is not None:
            told = "was taught at its own image size; leave out --image_size, or teach a new run"
            raise ConfigError(f"{asked.checkpoint} {told}")
    elif asked.forget or asked.data is None:
        what = "--forget is for" if asked.forget else "without DATA it must be"
        raise ConfigError(f"{asked.checkpoint} was not taught; {what} a run of `vitascope teach`")
    checkpoint = load(asked.checkpoint, image_size=asked.image_size)
    store = _store(checkpoint, asked.device, batch=asked.batch, workers=asked.workers, progress=progress)
    card = {"data": asked.data, "checkpoint": asked.checkpoint}
    data = None if asked.data is None else open_data(asked.data)
    with atomic_folder(Path(asked.out), what="teaching", overwrite=asked.overwrite) as folder:
        lesson = _lesson(checkpoint, data, store, before=before, settings=asked, card=card)
        results = {
            **lesson.results,
            "taught_sha256": lesson.known.write(folder),
            "seconds": round(time.monotonic() - begun, 2),
        }
        save(lesson.checkpoint, folder / MODEL)
        write_json(folder / RESULTS, results)
        write_json(folder / ENVIRONMENT, environment())
    return replace(lesson, results=results)


def teach(
    checkpoint: Checkpoint, data: str | Source | Splits, *, device: str | None = None, **settings: Any
) -> Checkpoint:
    """`checkpoint` with a linear head in closed form for `data`; its card's "results" say what it knows of itself.

    `data` is what `open_data` takes, its splits, or a source; `settings` are those of `Teaching`. The checkpoint's
    model lends its weights, and should not be used on. Raises `UserError` for what the user can mend.
    """
    opened = open_data(data) if isinstance(data, str) else data
    splits = opened if isinstance(opened, Splits) else Splits(train=opened)
    return _lesson(checkpoint, splits, _store(checkpoint, device), settings=Teaching(**settings)).checkpoint


def _store(checkpoint: Checkpoint, device: str | None, **how: Any) -> FeatureStore:
    """Features as fine-tuning would see them, by engine "auto": a pre-training head's hidden layer is dropped."""
    place = resolve_device(device)
    headless = replace(checkpoint, model=replace_head(checkpoint.model, 0), labels=(), sets=None)
    engine = make_engine("auto", headless, place, "float32", how.get("batch", 64))
    return FeatureStore(
        headless.model.to(place), checkpoint.preprocess, folder=features_folder(), compute=engine, **how
    )


def _lesson(
    checkpoint: Checkpoint,
    data: Splits | None,
    features: FeatureStore,
    *,
    settings: Teaching,
    before: Known | None = None,
    card: dict[str, Any] | None = None,
) -> Lesson:
    """Teaches the train split of `data` besides what was taught `before`; other splits judge it.

    Copies of one another are left out together. Raises `DataError` where there is nothing to tell apart.
    """
    splits = data or Splits()
    known, shown = before, checkpoint.shown
    if splits.train is not None and len(splits.train):
        copies = find_copies(splits.present().values())
        if isinstance(features.compute, Auto):
            features.compute.expect(sum(map(len, splits.present().values())))
        more = _look(splits.train, features, copies.of(splits.train))
        shown = shown_to(splits.train, None, shown, chosen=False)
        if before is None:
            known = more
        else:
            known, again, corrected = before.with_more(more)
            if again or corrected:
                log.info("%d images were known already, %d of them under another label", again + corrected, corrected)
    if known is None:
        raise DataError("there are no images to teach: expected class folders, or a train split")
    if len(np.unique(known.labels)) < 2:
        raise DataError("images of one class only, expected two or more to tell apart")
    if contrary := _contradicted(known):
        log.warning("%d images have copies under another label: `vitascope check` lists such", contrary)
    targets = signs(known.labels, len(known.classes))
    weights = balanced(targets) if settings.balance else None
    head = teach_head(known.features, targets, weights=weights, groups=known.groups)
    left_out = torch.from_numpy(head.left_out)
    likely = left_out.softmax(dim=1).numpy()
    sets = PredictionSets.fit(likely, known.labels, settings.coverage, by_class=settings.by_class)
    results = _judged(left_out, known.labels, known.classes, sets)
    results["loo_top1"] = results.pop("top1")
    results |= {"l2": head.l2, "temperature": head.temperature, "balance": settings.balance}
    told, gains = forecast(known.features, known.labels, head.left_out, known.groups)
    results["forecast"] = [expected.as_json() for expected in told]
    results["gains"] = {name: float(gain) for name, gain in zip(known.classes, gains, strict=True)} if told else {}
    results |= {"wrong_labels": head.noise, "suspects": _suspects(head, known)}
    for name, source in splits.present().items():
        if source is not splits.train and len(source):
            logits = features(source, np.arange(len(source), dtype=np.int64)) @ head.weight.T + head.bias
            results[name] = _judged(
                torch.from_numpy(logits), relabelled(source, known.classes).labels, known.classes, sets
            )
    model = replace_head(checkpoint.model.cpu(), len(known.classes))
    assert model.head.linear is not None
    with torch.no_grad():
        model.head.linear.weight.copy_(torch.from_numpy(head.weight))
        model.head.linear.bias.copy_(torch.from_numpy(head.bias))
    taught = replace(
        checkpoint,
        model=model.eval(),
        labels=known.classes,
        activation="softmax",
        card={"task": "teaching", **(card or {}), "results": results, "origin": checkpoint.card},
        shown=shown,
        sets=sets,
        format="vitascope",
    )
    return Lesson(checkpoint=taught, known=known, results=results)


def _look(source: Source, features: FeatureStore, groups: Int64) -> Known:
    """What has to be known of a source's images."""
    marks = digests(source)
    return Known(
        features=features(source, np.arange(len(source), dtype=np.int64)),
        classes=source.classes,
        labels=source.labels,
        names=tuple(source.describe(i) for i in range(len(source))),
        marks=np.zeros(len(source), dtype=np.int64) if marks is None else marks,
        groups=groups,
    )


def _contradicted(known: Known) -> int:
    """Images that are copies of one with another label."""
    return sum(len(group) for group in groups(known.groups) if len(np.unique(known.labels[group])) > 1)


def _suspects(head: Taught, known: Known) -> list[dict[str, Any]]:
    """The images whose label is likelier wrong than right, given all others, surest first; JSON-able."""
    own = known.labels[:, None] == np.arange(len(known.classes))
    instead = np.where(own, -np.inf, head.left_out).argmax(axis=1)
    return [
        {
            "file": known.names[i],
            "label": known.classes[known.labels[i]],
            "looks_like": known.classes[instead[i]],
            "wrong": float(head.wrong[i]),
        }
        for i in np.argsort(-head.wrong, kind="stable")
        if head.wrong[i] > 0.5
    ]


def _judged(logits: torch.Tensor, labels: Int64, classes: tuple[str, ...], sets: PredictionSets) -> dict[str, Any]:
    """Figures of logits (n, K), JSON-able, as `evaluate` gives them."""
    tally = Tally(len(classes), sets)
    tally.add(logits, torch.from_numpy(labels))
    return tally.judged(classes)
