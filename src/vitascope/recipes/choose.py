"""`finetune auto`, `teach auto`: which published start suits data, time and this machine; and why, in a line."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.named import UnreachableError, find
from vitascope.checkpoints.starts import STARTS
from vitascope.data.open import open_data
from vitascope.data.source import Splits
from vitascope.device import resolve_device
from vitascope.errors import CheckpointError, DataError
from vitascope.fields import height_width
from vitascope.models.catalogue import forward_flops, model_config
from vitascope.models.config import Size
from vitascope.models.memory import training_memory
from vitascope.precision import resolve_precision
from vitascope.recipes import run_folder
from vitascope.recipes.asked import Teach
from vitascope.recipes.presets import DEFAULT_EPOCHS
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.recipes.run import How
from vitascope.training.parallel import world
from vitascope.training.speed import free_memory, training_rate
from vitascope.training.train_settings import seconds
from vitascope.wording import duration

log = logging.getLogger(__name__)

AUTO = "auto"
"""What is typed for CHECKPOINT."""
_USUAL = 3600.0
"""Seconds of a run for which nobody said how long it may take."""
_PASSES = 5
"""Times that every image is to be seen at least, where the clock ends the run."""
_PER_CLASS = 64
"""Images that are to be seen of every class at least, on average, where the clock ends the run."""
_PATIENCE = 600.0
"""Seconds that the features of all images may take where a head is taught."""
_LINEAR_PIXELS = 224
"""Side of the images that linear heads were judged on, whatever size the start saw last."""
_OF_TIME = 0.8
"""Share of a time budget that training gets; the rest is for loading, judging and writing."""
_FULL = 0.85
"""Share of the free memory that is planned for, as for every run."""
_BACKWARD = 3.0
"""A training step costs about three forward passes."""
_PROBE, _PROBE_BATCH = "ViT-S/32", 8


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A start, as it would train here."""

    name: str
    """What is typed for CHECKPOINT."""
    top1: float
    """Its published accuracy, in percent; only such as were judged alike are compared."""
    seconds: float
    """Of training, or of computing features, for one image."""
    fits: bool = True
    """Whether one image at a time fits the memory."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen."""

    name: str
    """The start."""
    why: str
    """One line for people, which says what more time would have chosen too."""
    judged: bool = True
    """Whether it was chosen by its published accuracy."""


def choose(
    candidates: Sequence[Candidate], *, images: int, classes: int, limit: float, passes: float | None = None
) -> Choice:
    """The most accurate candidate that sees `images` often enough within `limit` seconds; raises `CheckpointError`.

    Enough is `passes` times each; None: `_PASSES` times, and `_PER_CLASS` of every class. Where none can, it is the
    quickest.
    """
    fitting = [each for each in candidates if each.fits]
    if not fitting:
        raise CheckpointError(
            "auto: not one of the starts fits the memory of this machine; name a smaller one, or give --image-size"
        )
    shown = max(_PASSES * images, _PER_CLASS * classes) if passes is None else math.ceil(passes * images)

    def takes(each: Candidate) -> float:
        return shown * each.seconds

    in_time = [each for each in fitting if takes(each) <= limit]
    best = max(in_time, key=lambda e: (e.top1, -e.seconds)) if in_time else min(fitting, key=lambda e: e.seconds)
    why = f"{best.name} ({best.top1:g} % on ImageNet-1k): {images:,} images of {classes:,} classes, "
    why += f"{shown:,} showings in about {duration(takes(best))} here"
    if not in_time:
        why += f", more than the {duration(limit)} there are; nothing is quicker"
    better = [each for each in fitting if each.top1 > best.top1]
    if better:
        more = min(better, key=lambda e: (e.seconds, -e.top1))
        why += f"; with {duration(takes(more))} it would be {more.name} ({more.top1:g} %)"
    return Choice(name=best.name, why=why)


def with_start(recipe: FinetuneRecipe, how: How, runs: int = 1) -> FinetuneRecipe:
    """`recipe` with a start in place of `auto`, the same in all processes, that of before where a run is gone on with.

    The start is fetched; without a network one of those in the cache is chosen. `runs` share the time. Raises
    `UserError`.
    """
    if recipe.checkpoint != AUTO or Path(AUTO).exists():
        return recipe
    chosen = ""
    with world(recipe.device) as w:
        with w.together():
            if w.first:
                chosen = _of_before(recipe, how) or _fetched(recipe, how, runs)
        return replace(recipe, checkpoint=w.first_says(chosen))


def with_start_to_teach(asked: Teach, splits: Splits) -> Teach:
    """`asked` with a start in place of `auto` for the images of `splits`, whose features are computed once each.

    Compared is the accuracy of linear heads, and the image size is that of it unless one is asked for. Otherwise as
    `with_start`.
    """
    if asked.checkpoint != AUTO or Path(AUTO).exists():
        return asked
    choice = start_to_teach(splits, asked.image_size, asked.device, _PATIENCE)
    size = asked.image_size or (_LINEAR_PIXELS if choice.judged else None)
    return replace(asked, checkpoint=choice.name, image_size=size)


def start_to_teach(
    splits: Splits, image_size: int | Size | None, device: str | None, limit: float, *, cached: bool = False
) -> Choice:
    """A start for the images of `splits`, whose features are computed once each, in `limit` seconds if any can.

    Compared is the accuracy of linear heads, at the size of images that those were judged on unless another is asked.
    `cached` ones alone are taken without asking any network.
    """
    images = sum(map(len, splits.present().values()))
    found = _teachable(image_size or _LINEAR_PIXELS, device)
    return _had(found, cached, images=images, classes=len(splits.classes), limit=limit, passes=1)


def _of_before(recipe: FinetuneRecipe, how: How) -> str:
    """What the run that is gone on with was begun from; "" for a new one."""
    out, resume, overwrite = Path(recipe.out), how.get("resume", False), how.get("overwrite", False)
    if not run_folder.check_free(out, resume=resume, overwrite=overwrite, sweep=recipe.sweep):
        return ""
    begun = [out, *sorted((out / run_folder.SWEEP).glob("lr-*"))]
    configs = [folder for folder in begun if (folder / run_folder.CONFIG).is_file()]
    return str(run_folder.stored_config(configs[0]).get("checkpoint", "")) if configs else ""


def _fetched(recipe: FinetuneRecipe, how: How, runs: int) -> str:
    """The name of the chosen start, once its files are here."""
    splits = how.get("splits") or open_data(recipe.data, seed=recipe.seed)
    if splits.train is None or not len(splits.train):
        raise DataError(f"{recipe.data} has no training images; expected class folders, or a train split")
    images, classes = len(splits.train), len(splits.train.classes)
    passes: float | None = None
    if recipe.steps is not None:
        passes = recipe.steps * recipe.batch / images
    elif recipe.time_budget is None:
        passes = recipe.epochs or DEFAULT_EPOCHS[FinetuneRecipe]
    limit = _USUAL if recipe.time_budget is None else _OF_TIME * seconds(recipe.time_budget)
    return _had(_candidates(recipe), images=images, classes=classes, limit=limit / runs, passes=passes).name


def _had(candidates: Sequence[Candidate], cached: bool = False, **need: Any) -> Choice:
    """The best of `candidates` by `choose`, whose `need` says the rest, that can be had, once its files are here."""

    def best_of(some: Sequence[Candidate]) -> Choice:
        return choose(some, **need)

    choice = best_of(candidates)
    try:
        find(choice.name, cached=cached)
    except UnreachableError:
        here, lacking = [each for each in candidates if _is_here(each.name)], "cannot be had now"
        if cached:
            lacking = "is not here, and there is no time to fetch it"
        if not here:  # nor any that can be compared: then whichever there is, at last the package's own
            rest = next(start.name for start in STARTS if _is_here(start.name))
            log.warning("auto: %s %s; %s is taken instead", choice.name, lacking, rest)
            return Choice(name=rest, why=f"on this machine, as {choice.name} is not", judged=False)
        log.warning("auto: %s %s; one of the %d that are here is taken instead", choice.name, lacking, len(here))
        choice = best_of(here)
    log.info("auto: %s", choice.why)
    return choice


def _is_here(name: str) -> bool:
    try:
        find(name, cached=True)
    except CheckpointError:
        return False
    return True


def _candidates(recipe: FinetuneRecipe) -> list[Candidate]:
    """Those of the starts whose accuracies after fine-tuning can be compared and whose licence restricts nothing."""
    device = resolve_device(recipe.device)
    precision = resolve_precision(recipe.precision, device)
    rate = training_flops(device, precision) / _BACKWARD
    return _judged("fine-tuned", recipe.image_size, device, precision, recipe.optimizer, rate)


def _teachable(image_size: int | Size, device: str | None) -> list[Candidate]:
    """The same of linear heads on frozen features."""
    place = resolve_device(device)
    return _judged("linear", image_size, place, "float32", "sgd", training_flops(place, "float32"))


def _judged(
    how: str, image_size: int | Size | None, device: torch.device, precision: str, optimizer: str, rate: float
) -> list[Candidate]:
    """Those judged so, at `rate` forward operations a second; where training takes too much memory, none fits."""
    free, found = free_memory(device), []
    for start in STARTS:
        if start.is_open and start.top1 is not None and start.judged.startswith(how):
            size = height_width(image_size or start.pixels, "image_size")
            if any(side % start.config().pixels_per_token for side in size):
                continue
            config = replace(start.config(), image_size=size)
            memory = training_memory(config, 1, precision=precision, optimizer=optimizer, accumulated=True).peak
            found.append(
                Candidate(
                    name=start.name,
                    top1=start.top1,
                    seconds=forward_flops(config) / rate,
                    fits=memory <= _FULL * free,
                )
            )
    return found


def training_flops(device: torch.device, precision: str) -> float:
    """Operations a second that training reaches on `device` now, beside its other work, by a small ViT."""
    config, threads = model_config(_PROBE, classes=10), torch.get_num_threads()
    rate = training_rate(config, _PROBE_BATCH, threads, device=str(device), precision=precision)
    return rate * _BACKWARD * forward_flops(config)
