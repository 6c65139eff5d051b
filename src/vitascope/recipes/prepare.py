"""From a recipe's `data` to the images a run trains and is judged on."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from vitascope.data.copies import find_copies, groups
from vitascope.data.fingerprint import joined
from vitascope.data.groups import together
from vitascope.data.holdout import stratified_holdout
from vitascope.data.kept import in_memory, on_disk
from vitascope.data.open import open_data
from vitascope.data.shrunk import Shrunk
from vitascope.data.source import Source, Splits, View
from vitascope.errors import DataError, ImageError, UnlabelledError
from vitascope.recipes.recipe import Recipe
from vitascope.streams import Stream, generator
from vitascope.training.observer import Observer
from vitascope.training.train_settings import memory_bytes

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The sources of one run."""

    train: Source
    """What the weights are fitted to."""
    validation: Source | None
    """What choices are made on."""
    test: Source | None
    """What is reported at the end."""
    unreadable: int = 0
    """Images left out because they cannot be read."""
    contents: dict[str, str] = field(default_factory=dict)
    """What stands for each split as it was found (`Source.contents`)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.train.classes

    @property
    def judged(self) -> dict[str, Source]:
        """Those of validation and test that there are."""
        return {n: s for n, s in (("validation", self.validation), ("test", self.test)) if s is not None}


def prepare_data(
    recipe: Recipe, splits: Splits | None = None, observer: Observer | None = None, *, labels: bool = True
) -> RunData:
    """Opens the data, holds a validation part out if there is none, keeps what fits in memory, then on disk.

    `splits` stands in for opening `recipe.data`; `observer` hears how many images are read; without `labels` there need
    not be any, and none are seen. Raises `DataError` when there is nothing to train on.
    """
    splits = splits or open_data(recipe.data, seed=recipe.seed, labels=labels)
    splits = splits if labels else splits.unlabelled()
    check_trainable(recipe.data, splits, labels=labels)
    assert splits.train is not None
    told = {name: source.contents() for name, source in splits.present().items()}
    train, validation = splits.train, splits.validation
    copies = find_copies(splits.present().values(), partial((observer or Observer()).counted, "looking for copies"))
    if copies.limits:
        log.info("%s: %s", recipe.data, copies.limits)
    side, _ = together(splits, copies, recipe.group)
    if validation is None and recipe.holdout > 0:
        train, validation = stratified_holdout(train, recipe.holdout, recipe.seed, side)
        told["held out"] = joined([str(index) for index in validation.indices])
        alike = sum(map(len, groups(copies.of(splits.train))))
        said = f"; {alike} are copies or near copies, which stay on one side together" if alike else ""
        log.info("%d of %d training images are held out for validation%s", len(validation), len(splits.train), said)
    for name, other in splits.present().items():
        twice = 0 if other is splits.train else int(np.isin(copies.of(other), copies.of(train)).sum())
        if twice:
            log.warning("%d of %d %s images have copies or near copies in training", twice, len(other), name)
    if recipe.shrink is not None:
        train = Shrunk(train, recipe.shrink)
    memory, disk = memory_bytes(recipe.memory_budget), memory_bytes(recipe.disk_budget, "disk_budget")
    skip, dropped = recipe.on_error == "skip", list[ImageError]()
    kept: dict[str, Source | None] = {}
    for name, source in {"train": train, "validation": validation, "test": splits.test}.items():
        if source is not None:
            counted = partial((observer or Observer()).counted, f"reading {name}")
            source = in_memory(source, memory, skip_unreadable=skip, dropped=dropped, progress=counted)
            source = on_disk(source, disk, beside=tuple(kept.values()))
        kept[name] = source
    assert kept["train"] is not None
    return RunData(
        train=kept["train"],
        validation=kept["validation"],
        test=kept["test"],
        unreadable=len(dropped),
        contents=told,
    )


def check_trainable(data: str, splits: Splits, *, labels: bool = True) -> None:
    """Raises `DataError` where there is nothing to train on, as `data` is called."""
    if splits.train is not None and splits.train.lost:
        name, lost = next(iter(splits.train.lost.items()))
        raise DataError(f"{data}: no image of class {name!r} can be read; {lost}")
    if splits.train is None or len(splits.train) == 0:
        wanted = "class folders, or a train split" if labels else "images, or a train split of them"
        raise DataError(f"{data} has no training images; expected {wanted}")
    if labels and not splits.classes:
        raise UnlabelledError(f"{data} has no labels, expected images of two classes or more")
    if labels and len(splits.train.classes) < 2:
        raise DataError(f"{data} has one class, {splits.train.classes[0]!r}; a classifier needs two or more")


def for_labels(recipe: R, source: Source) -> R:
    """`recipe` with the loss that these labels need: of several an image, each is learned by itself."""
    return replace(recipe, loss="sigmoid") if source.several else recipe


def in_any_order(data: RunData, seed: int) -> RunData:
    """`data` with what is judged on shuffled, so that any first part of it speaks for all."""

    def shuffled(source: Source | None) -> Source | None:
        return source and View(source, generator(Stream.JUDGED, seed).permutation(len(source)))

    return replace(data, validation=shuffled(data.validation), test=shuffled(data.test))
