"""One cell of a study's grid: pre-train on a subset, fine-tune and test, linear few-shot; its row kept as a file."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import KINDS, refuse_strangers
from vitascope.checkpoints.safetensors_file import read_safetensors
from vitascope.data.memory import in_memory
from vitascope.data.open import open_data
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Source, Splits, View
from vitascope.device import resolve_device
from vitascope.errors import ConfigError, DataError, DivergedError, UserError
from vitascope.evaluation.features import FeatureStore
from vitascope.evaluation.shots import FewShot, few_shot, labels_as_in, require_shots
from vitascope.lock import locked
from vitascope.precision import processor
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.run_folder import (
    CONFIG,
    MODEL,
    RESULTS,
    clear,
    read_json,
    stored_config,
    stored_data,
    write_json,
)
from vitascope.recipes.settings import FinetuneRecipe, PretrainRecipe
from vitascope.streams import Stream, generator
from vitascope.studies.settings import Cell, Study, evaluation_interval
from vitascope.training.loop import best_weights
from vitascope.training.observer import Observer
from vitascope.training.record import read_metrics
from vitascope.training.state import remove_damaged
from vitascope.version import source_commit

log = logging.getLogger(__name__)

_MEMORY = 2**30  # bytes of decoded images kept of each split in a process; of larger ones nothing is
_AUGMENT = AugmentConfig(crop="shift")  # moved and mirrored: all the augmentation there is, for every model and size


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One source of pre-training."""

    train: Source
    """What subsets are drawn from."""
    validation: Source
    """What the best step is chosen on, the same for all subsets; none of them holds any of it."""


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """What all cells read, decoded once."""

    pools: tuple[Pool, ...]
    """By source."""
    target: Source
    """What is fine-tuned and learned from few shots on."""
    test: Source
    """What is reported."""
    contents: dict[str, str] = field(default_factory=dict)
    """What stands for each of them as it was found (`Source.contents`)."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Images to train on, by source."""
        return tuple(len(pool.train) for pool in self.pools)


def open_study(study: Study) -> StudyData:
    """Opens sources and target; raises `DataError` where the study cannot be made of them."""
    target = open_data(study.target)
    test = target.test or target.validation
    if target.train is None or test is None:
        lacking = "training images" if target.train is None else "test split to judge on"
        raise DataError(
            f"{study.target} has no {lacking}; put its images into train/ and test/, or give another target"
        )
    require_shots(target.train, labels_as_in(target.train, test), max(study.shots))  # not found out after training
    if study.test_images is not None and study.test_images < len(test):
        chosen = generator(Stream.STUDY_TEST, 0).permutation(len(test))[: study.test_images]
        test = View(test, np.sort(chosen), f"{test.name} ({study.test_images} images)")
    sources = {source: open_data(source).train for source in study.sources}
    found = {**sources, f"{study.target} (train)": target.train, f"{study.target} (test)": test}
    return StudyData(
        pools=tuple(_open_pool(source, train, study.validation_images) for source, train in sources.items()),
        target=in_memory(target.train, _MEMORY),
        test=in_memory(test, _MEMORY),
        contents={name: source.contents() for name, source in found.items() if source is not None},
    )


def _open_pool(source: str, train: Source | None, validation: int) -> Pool:
    if train is None or len(train) < 2 * validation:
        raise DataError(
            f"{source} has {0 if train is None else len(train)} training images, too few to keep {validation} of them "
            "for validation; give other data, or fewer --validation_images"
        )
    train = in_memory(train, _MEMORY)
    order = generator(Stream.STUDY_VALIDATION, 0).permutation(len(train))
    held, rest = np.sort(order[:validation]), np.sort(order[validation:])
    return Pool(train=View(train, rest, train.name), validation=View(train, held, f"{train.name} (held out)"))


def nested_subset(pool: Source, size: int, seed: int) -> View:
    """`size` random images of `pool`; with the same seed a smaller subset lies in a larger one."""
    chosen = generator(Stream.SUBSET, seed).permutation(len(pool))[:size]
    return View(pool, np.sort(chosen), f"{pool.name} ({size} images, seed {seed})")


def row_file(out: str | Path, cell: Cell) -> Path:
    """Where a cell's row is."""
    return Path(out) / "cells" / f"{cell.key}.json"


def read_row(out: str | Path, cell: Cell) -> dict[str, Any] | None:
    """What was found in a cell, None where it is to be done, also because its row was damaged."""
    path = row_file(out, cell)
    if not path.is_file():
        return None
    try:
        row = read_json(path, "it is made again")
        if row.get("seed") != cell.seed or not ({"finetuning", "fewshot"} <= row.keys() or "diverged" in row):
            raise ConfigError(f"{path} holds no row of this cell; it is made again")
        return row
    except ConfigError as error:
        log.warning("%s", error)
        return None


def run_cell(study: Study, cell: Cell, data: StudyData, observer: Observer | None = None) -> dict[str, Any]:
    """Does what of a cell is not done yet and writes its row; raises `Stopped` after saving, ImageError.

    A run whose loss stops being finite is a result: its row says so and has no accuracies.
    """
    folder = Path(study.out) / "runs" / cell.key
    row: dict[str, Any] = {
        "model": cell.contender.name,
        "kind": cell.contender.kind,
        "source": study.sources[cell.source],
        "size": cell.size,
        "steps": cell.steps,
        "seed": cell.seed,
    }
    try:
        pool = data.pools[cell.source]
        subset = nested_subset(pool.train, cell.size, cell.seed)
        first = pretrain_recipe(study, cell, folder / "pretrain")
        splits = Splits(train=subset, validation=pool.validation)
        begin = partial(pretrain, first, splits=splits, observer=observer)
        found = _once(folder / "pretrain", math.ceil(cell.steps / evaluation_interval(cell.steps)), begin)
        row["pretraining"] = {
            **_result(found, "validation"),
            **_curve(folder / "pretrain"),
            "best_step": found["best_step"],
        }
        second = finetune_recipe(study, cell, folder / "pretrain", folder / "finetune")
        splits = Splits(train=data.target, test=data.test)
        tuned = _once(folder / "finetune", 0, partial(finetune, second, splits=splits, observer=observer))
        row["finetuning"] = _result(tuned, "test")
        row["fewshot"] = _few_shot(study, folder / "pretrain", data)
        row["seconds"] = {"pretraining": found.get("seconds"), "finetuning": tuned.get("seconds")}
    except DivergedError as error:
        log.warning("%s diverged: %s", cell.key, error)
        row["diverged"] = str(error)
    row |= {"processor": processor(), **source_commit()}
    write_json(row_file(study.out, cell), row)
    for part in ("pretrain", "finetune"):  # what a resume would have needed; the models stay
        shutil.rmtree(folder / part / "checkpoints", ignore_errors=True)
    return row


def pretrain_recipe(study: Study, cell: Cell, out: Path) -> PretrainRecipe:
    """The pre-training of a cell; its result is the step with the best validation (Section 4.3)."""
    return PretrainRecipe(
        data=f"{study.sources[cell.source]} ({cell.size} images)",
        out=str(out),
        model=cell.contender.model,
        model_fields=cell.contender.fields,
        mlp_head=cell.contender.kind != "ResNet",
        dropout=None if cell.contender.kind == "ResNet" else 0.0,
        image_size=study.image_size,
        steps=cell.steps,
        batch=study.batch,
        lr=study.lr,
        weight_decay=study.weight_decay,
        warmup=study.warmup,
        keep="best",
        seed=cell.seed,
        eval_every=evaluation_interval(cell.steps),
        save_every=evaluation_interval(cell.steps),
        keep_checkpoints=1,
        precision="float32",
        augment=_AUGMENT,
    )


def finetune_recipe(study: Study, cell: Cell, checkpoint: Path, out: Path) -> FinetuneRecipe:
    """The fine-tuning of a cell: Table 4's, with nothing held out because nothing is chosen."""
    return FinetuneRecipe(
        checkpoint=str(checkpoint),
        data=study.target,
        out=str(out),
        image_size=study.finetune_size,
        steps=study.finetune_steps,
        batch=study.batch,
        lr=study.finetune_lr,
        warmup=study.warmup,
        holdout=0.0,
        seed=cell.seed,
        keep_checkpoints=1,
        precision="float32",
        augment=_AUGMENT,
    )


def _once(folder: Path, evaluations: int, begin: Callable[..., Path]) -> dict[str, Any]:
    """The results of a run, which is done, gone on with or started as what is in its folder says.

    What is damaged is done again: from the last sound checkpoint, or from the start where the record of its
    evaluations is not whole.
    """
    damaged = None
    try:
        load(folder / MODEL)
        found = read_json(folder / RESULTS, "it is made again")
        if len(_losses(folder)[0]) >= evaluations:
            return found
        damaged = f"{folder} has lost lines of its record"
    except UserError as error:
        if (folder / RESULTS).is_file():
            log.warning("%s", error)
    if damaged is None and (folder / CONFIG).is_file():
        try:
            stored_config(folder)
            stored_data(folder)
            if best_weights(folder).is_file():
                read_safetensors(best_weights(folder))
        except UserError as error:
            damaged = str(error)
    if damaged is not None:
        log.warning("%s: it is done again from the start", damaged)
        with locked(folder):
            refuse_strangers(folder, *KINDS["run"])
            clear(folder)
    remove_damaged(folder / "checkpoints")
    begin(resume="auto")
    return read_json(folder / RESULTS, "start the study again")


def _result(results: dict[str, Any], split: str) -> dict[str, Any]:
    return {name: results[split][name] for name in ("top1", "loss", "images")}


def _curve(folder: Path) -> dict[str, float]:
    """How far the end lies from the best: losses on training images and on the held-out ones."""
    validation, training = _losses(folder)
    last = training[-1] if training else math.nan
    return {"last_training_loss": last, "last_loss": validation[-1], "least_loss": min(validation)}


def _losses(folder: Path) -> tuple[list[float], list[float]]:
    """On the held-out images and on training images, in order."""
    lines = read_metrics(folder)
    validation = [line["validation"]["loss"] for line in lines if "validation" in line]
    return validation, [line["loss"] for line in lines if "loss" in line]


def _few_shot(study: Study, folder: Path, data: StudyData) -> list[dict[str, Any]]:
    checkpoint = load(folder / MODEL)
    settings = FewShot(shots=study.shots, seeds=study.draws, methods=("ridge",))
    store = FeatureStore(checkpoint.model.to(resolve_device(None)), checkpoint.preprocess, batch=study.batch)
    return [outcome.as_json() for outcome in few_shot(settings, data.target, data.test, store)]
