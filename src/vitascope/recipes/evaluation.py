"""A checkpoint judged on a data set, with its labels matched by name."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint, are_named, probabilities
from vitascope.checkpoints.shown import Shown
from vitascope.data.copies import LIMIT, digests
from vitascope.data.labels import renumbered
from vitascope.data.open import open_data
from vitascope.data.remarks import listening, said
from vitascope.data.source import Source, Splits, View
from vitascope.errors import CheckpointError, ConfigError, DataError
from vitascope.evaluation.evaluate import answered
from vitascope.evaluation.metrics import Tally
from vitascope.inference.engines.pytorch import TorchEngine
from vitascope.inference.exported import Exported, open_model
from vitascope.inference.predictor import Predictor
from vitascope.recipes.asked import Evaluate
from vitascope.recipes.evaluated_report import leave
from vitascope.reports.figures import confusion_figure
from vitascope.training.parallel import world
from vitascope.wording import some

log = logging.getLogger(__name__)

_SYNSET = re.compile(r"n\d{8}")


def evaluate_checkpoint(asked: Evaluate, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Top-1, top-5, loss, calibration, and per class, JSON-able; each readable image is counted once.

    Of a checkpoint that judges each label by itself: mean average precision, F1, loss, calibration, and per label.
    Without a split, images that the checkpoint was trained on are left out of a training set ("left_out"), so that a
    run's own data give its held-out images. "part" says what was counted, "trained_on" how many of those are known to
    have been trained on after all (None: nothing is known), "training_known" whether all of its training is. Raises
    `UserError` for what the user can mend.
    """
    ck = open_model(asked.checkpoint, **asked.stated)
    by_label = ck.activation == "sigmoid"
    if by_label and asked.confusion:
        raise ConfigError(f"--confusion has no picture of {asked.checkpoint}, which judges each label by itself")
    chosen, source, seen = to_judge_on(asked.data, ck, asked.checkpoint, asked.split)
    classes = source.classes
    if warning := str(seen.pop("warning")):
        log.warning("%s", warning)
    with world(asked.device) as w, listening() as odd:
        # Several processes would each change engines at another moment.
        engine = "eager" if asked.engine == "auto" and w.size > 1 else asked.engine
        device = asked.device if w.size == 1 else w.device
        predictor = Predictor(ck, engine, device=device, batch=asked.batch, precision=asked.precision)
        predictor.expect(len(source) // w.size)
        on_device = isinstance(predictor.engine, TorchEngine)  # images go there as uint8
        counted = answered(
            predictor.engine,
            source,
            ck.preprocess,
            batch=asked.batch,
            device=w.device if on_device else "cpu",
            rank=w.rank,
            processes=w.size,
            workers=asked.workers,
            skip_unreadable=asked.on_error == "skip",
            sets=ck.sets,
            by_label=by_label,
            each_batch=None if progress is None else lambda done: progress(done, -(-len(source) // w.size)),
        )
        counted.over(w)
    tally, skipped = counted.tally, len(source) - counted.images
    if tally.images == 0:
        raise DataError(f"none of the {skipped} images of {asked.data} can be read; `vitascope check` lists them")
    for kind in sorted(odd):
        log.warning("%s: %s", source.name, said(kind, "some images"))
    if skipped:
        log.warning("%s: %d of %d images left out as unreadable", source.name, skipped, len(source))
    if asked.confusion and isinstance(tally, Tally):
        if not tally.confusion.size:
            raise ConfigError(f"--confusion has no picture for {len(classes)} classes; leave it out")
        if w.first:
            Path(asked.confusion).parent.mkdir(parents=True, exist_ok=True)
            drawing = confusion_figure(tally.confusion, classes, f"{asked.data} ({chosen})")
            drawing.savefig(asked.confusion, format="png")
    result = {"split": chosen, **seen, "skipped": skipped, **tally.judged(classes)}
    if w.first and (asked.report or asked.csv or asked.errors):
        leave(asked, ck, source, counted.answers, result, warning)
    return result


def to_judge_on(
    data: str, ck: Checkpoint | Exported, name: str, split: str | None = None, *, splits: Splits | None = None
) -> tuple[str, Source, dict[str, Any]]:
    """Which split of DATA, what of it to count in the order of the checkpoint's labels, and what is known of that.

    Without a split, the test split, else validation, else what a checkpoint called `name` was not trained on. `splits`
    are those of DATA where it is open already. Raises `DataError`, `CheckpointError`.
    """
    probabilities(torch.zeros(1, 1), ck.activation)  # refuses a regression
    splits = splits or open_data(data)
    if split is not None and split not in (present := splits.present()):
        held = ", ".join(present) or "nothing"
        raise DataError(f"{data} has no {split} split, only {held}; choose another --split")
    found = splits.first(split) if split else splits.first()
    if found is None:
        raise DataError(f"{data} holds no images to evaluate on")
    if found[1].several and ck.activation != "sigmoid":
        raise DataError(
            f"{data} has images with several labels, and {name} chooses one class an image; "
            "`finetune` or `teach` it with such data first"
        )
    source = relabelled(found[1], ck.labels)
    return found[0], *_unseen(source, ck.shown, alone=split is None and found[0] == "train")


def _unseen(source: Source, shown: Shown | None, *, alone: bool) -> tuple[Source, dict[str, Any]]:
    """What to count of `source`, and what is known of whether the model was shown it; `alone` where it is all there is.

    The latter's "warning" is empty where nothing flatters the figures.
    """
    found: dict[str, Any] = {"part": "all", "left_out": 0, "trained_on": None, "training_known": False}
    marks = None if shown is None else digests(source)
    if shown is None or marks is None:
        return source, {**found, "warning": ""}
    trained, judged = np.isin(marks, shown.trained), np.isin(marks, shown.validation)
    if alone and trained.any() and not trained.all():
        kept = np.flatnonzero(~trained)
        found |= {"part": "held out" if judged[kept].all() else "not trained on", "left_out": int(trained.sum())}
        source, trained, judged = View(source, kept), trained[kept], judged[kept]
    elif len(judged) and judged.all():
        found["part"] = "validation of the run"
    n = len(source)
    found |= {"trained_on": int(trained.sum()) if shown.known else None, "training_known": shown.complete}
    if trained.any():
        least = "" if shown.complete else "at least "
        told = f"{least}{trained.sum():,} of the {n:,} images counted were trained on: no measure of new ones"
    elif shown.chosen and judged.any():
        told = f"the model's weights were chosen by {judged.sum():,} of the {n:,} images: they flatter it a little"
    else:
        told = "" if shown.known else f"what the model was trained on is not recorded (more than {LIMIT:,} images)"
    return source, {**found, "warning": told}


def relabelled(source: Source, labels: tuple[str, ...]) -> Source:
    """`source` with its labels in the order of a checkpoint's; raises `DataError` when it has classes beyond them.

    A checkpoint whose classes nobody named takes the data's order if there are as many and there is only one.
    """
    if not labels:
        raise CheckpointError("this checkpoint has no head, so there is nothing to evaluate: fine-tune it first")
    if source.classes == labels:
        return source
    unknown = [name for name in source.classes if name not in set(labels)]
    if unknown and not are_named(labels) and len(source.classes) == len(labels):
        _refuse_two_orders(source.classes)
        log.warning("the checkpoint does not name its classes; the data's are taken in their own order")
        return source
    if unknown:
        raise DataError(
            f"{source.name} has classes that the checkpoint does not know: {some(unknown, 4)}; "
            f"it knows {some(labels, 4)}{_remedy(unknown, labels)}"
        )
    if not are_named(labels):
        log.info("the checkpoint does not name its classes; the data's names are taken for the numbers of its outputs")
    place = np.array([labels.index(name) for name in source.classes])
    return View(source, classes=labels, labels=renumbered(source.labels, place, len(labels)))


def _refuse_two_orders(classes: tuple[str, ...]) -> None:
    """`DataError` where sorted names, as of folders, would come in another order in timm."""
    natural = tuple(sorted(classes, key=_natural))
    if list(classes) != sorted(classes) or natural == classes:
        return
    first = next(i for i, (a, b) in enumerate(zip(classes, natural, strict=True)) if a != b)
    raise DataError(
        f"the checkpoint does not name its classes, and these have two orders: from output {first} on "
        f"{some(classes[first:], 3)} by code point, {some(natural[first:], 3)} as timm sorts; "
        "give --labels FILE, a name a line"
    )


def _natural(name: str) -> list[int | str]:
    """timm's key: numbers as numbers, capital letters as small ones."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())]


def _remedy(unknown: list[str], labels: tuple[str, ...]) -> str:
    """What to do, where more can be said than that the names differ."""
    if all(_SYNSET.fullmatch(name) for name in unknown):
        made = "`cut -d' ' -f1 LOC_synset_mapping.txt` prints ImageNet's"
        return f". Give --labels FILE with the WordNet synset of each output, one a line: {made}"
    if all(map(_SYNSET.fullmatch, labels)):
        return ", WordNet synsets. Give --labels FILE with the data's name for each output, one a line"
    return "" if are_named(labels) else ", which are no names. Give --labels FILE, a name a line"
