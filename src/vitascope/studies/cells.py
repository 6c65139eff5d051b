"""One cell of a study's grid: pre-train on a subset, fine-tune and test, linear few-shot; its row kept as a file."""

from __future__ import annotations

import logging
import math
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vitascope.checkpoints.load import load
from vitascope.checkpoints.output import refuse_strangers
from vitascope.checkpoints.run_files import MODEL, RESULTS, read_json, write_json
from vitascope.checkpoints.tensor_file import read_safetensors
from vitascope.data.source import Splits
from vitascope.device import resolve_device
from vitascope.errors import ConfigError, DivergedError, UserError
from vitascope.evaluation.features import FeatureStore
from vitascope.evaluation.shots import FewShot, few_shot
from vitascope.lock import locked
from vitascope.precision import processor
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe
from vitascope.recipes.run import How
from vitascope.recipes.run_folder import CONFIG, clear, stored_config, stored_data
from vitascope.studies.data import StudyData, nested_subset
from vitascope.studies.settings import Cell, Study
from vitascope.training.loop import best_weights
from vitascope.training.observer import Observer
from vitascope.training.record import read_metrics
from vitascope.training.state import remove_damaged
from vitascope.version import source_commit

log = logging.getLogger(__name__)


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
        whole = "model" in row and ({"finetuning", "fewshot"} <= row.keys() or "diverged" in row)
        if row.get("seed") != cell.seed or not whole:
            raise ConfigError(f"{path} holds no row of this cell; it is made again")
        if row["model"] != cell.contender.name:
            other = f"{path} is of {row['model']}, whose name is the same for files as {cell.contender.name}"
            raise UserError(f"{other}; give one of them another name")
        return row
    except ConfigError as error:
        log.warning("%s", error)
        return None


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A cell on its way, for its stages."""

    study: Study
    cell: Cell
    data: StudyData
    folder: Path
    observer: Observer | None


def run_cell(study: Study, cell: Cell, data: StudyData, observer: Observer | None = None) -> dict[str, Any]:
    """Does what of a cell is not done yet and writes its row; raises `Stopped` after saving, ImageError.

    A run whose loss stops being finite is a result: its row says so and has no accuracies.
    """
    run = _Run(study=study, cell=cell, data=data, folder=Path(study.out) / "runs" / cell.key, observer=observer)
    row: dict[str, Any] = {
        "model": cell.contender.name,
        "kind": cell.contender.kind,
        "source": study.sources[cell.source],
        "size": cell.size,
        "steps": cell.steps,
        "seed": cell.seed,
    }
    try:
        for name, stage in STAGES.items():
            row[name] = stage(run)
        row["seconds"] = {name: row[name].pop("seconds") for name in ("pretraining", "finetuning")}
    except DivergedError as error:
        log.warning("%s diverged: %s", cell.key, error)
        row["diverged"] = str(error)
    row |= {"processor": processor(), **source_commit()}
    write_json(row_file(study.out, cell), row)
    # What a resume would have needed; the models stay.
    for part in ("pretrain", *map(_finetuned, range(len(study.targets)))):
        shutil.rmtree(run.folder / part / "checkpoints", ignore_errors=True)
    return row


def _pretraining(run: _Run) -> dict[str, Any]:
    """And how far the end lies from the best: losses on training images and on the held-out ones."""
    cell, pool, folder = run.cell, run.data.pools[run.cell.source], run.folder / "pretrain"
    recipe = pretrain_recipe(run.study, cell, folder)
    splits = Splits(train=nested_subset(pool.train, cell.size, cell.seed), validation=pool.validation)
    results = once(folder, run.study.every(cell.steps), partial(pretrain, recipe, **how(splits, run.observer)))
    validation, training = _losses(folder)
    return {
        **_result(results, "validation"),
        "last_training_loss": training[-1] if training else math.nan,
        "last_loss": validation[-1][1],
        "least_loss": min(loss for _, loss in validation),
        "looks": [list(look) for look in validation],
        "best_step": results["best_step"],
        "steps": results["steps"],
    }


def how(splits: Splits, observer: Observer | None) -> How:
    """How a run of a study is begun: without reports, of which nobody reads hundreds."""
    return {"splits": splits, "observer": observer, "report": lambda report: None}


def _finetuning(run: _Run) -> dict[str, Any]:
    found = []
    for place, target in enumerate(run.data.targets):
        folder = run.folder / _finetuned(place)
        recipe = finetune_recipe(run.study, run.cell, run.folder / "pretrain", folder, place)
        splits = Splits(train=target.train, test=target.test)
        found.append(_result(once(folder, None, partial(finetune, recipe, **how(splits, run.observer))), "test"))
    if len(found) == 1:
        return found[0]
    told = {name: statistics.fmean(one[name] for one in found) for name in ("top1", "loss")}
    return told | {"targets": found, "seconds": sum(one.pop("seconds") or 0.0 for one in found)}


def _finetuned(place: int) -> str:
    """Folder of the fine-tuning on a target, in its cell's."""
    return f"finetune-{place}" if place else "finetune"


def _fewshot(run: _Run) -> list[dict[str, Any]]:
    checkpoint = load(run.folder / "pretrain" / MODEL)
    study = run.study
    settings = FewShot(shots=study.shots, seeds=study.draws, methods=("ridge",), l2=study.l2)
    store = FeatureStore(checkpoint.model.to(resolve_device(None)), checkpoint.preprocess, batch=study.batch)
    found = [few_shot(settings, target.train, target.test, store) for target in run.data.targets]
    means = [
        replace(same[0], accuracies=tuple(map(statistics.fmean, zip(*(o.accuracies for o in same), strict=True))))
        for same in zip(*found, strict=True)  # by draw
    ]
    return [{**outcome.as_json(), "features": checkpoint.config.features} for outcome in means]


STAGES: dict[str, Callable[[_Run], Any]] = {
    "pretraining": _pretraining,
    "finetuning": _finetuning,
    "fewshot": _fewshot,
}
"""What is done of a cell, in this order, each kept in its folder, by its name in the row."""


def pretrain_recipe(study: Study, cell: Cell, out: Path) -> PretrainRecipe:
    """The pre-training of a cell; its result is the step with the best validation (Section 4.3)."""
    contender = cell.contender
    told: dict[str, Any] = {
        "mlp_head": contender.kind != "ResNet",
        "dropout": None if contender.kind == "ResNet" else 0.0,
        **study.pretraining(contender.name, cell.steps),
        **contender.learning,
    }
    return PretrainRecipe(
        data=f"{study.sources[cell.source]} ({cell.size} images)",
        out=str(out),
        model=contender.model,
        model_fields=contender.fields,
        keep="best",
        seed=cell.seed,
        **told,
        keep_checkpoints=1,
    )


def finetune_recipe(study: Study, cell: Cell, checkpoint: Path, out: Path, target: int = 0) -> FinetuneRecipe:
    """The fine-tuning of a cell on a target: Table 4's, with nothing held out because nothing is chosen."""
    return FinetuneRecipe(
        checkpoint=str(checkpoint),
        data=study.targets[target],
        out=str(out),
        holdout=0.0,
        seed=cell.seed,
        **study.finetuning(cell.contender.name),
        keep_checkpoints=1,
    )


def once(folder: Path, every: int | None, begin: Callable[..., Path]) -> dict[str, Any]:
    """The results of a run, which is done, gone on with or started as what is in its folder says.

    `every`: steps between its evaluations, all of which must be on record; None where none is asked for.

    What is damaged is done again: from the last sound checkpoint, or from the start where the record of its
    evaluations is not whole.
    """
    try:
        results = _done(folder)
        if results is not None:
            if every is None or len(_losses(folder)[0]) >= math.ceil(results["steps"] / every):
                return results
            raise ConfigError(f"{folder} has lost lines of its record")
        if (folder / CONFIG).is_file():
            stored_config(folder)
            stored_data(folder)
            if best_weights(folder).is_file():
                read_safetensors(best_weights(folder))
    except UserError as error:
        log.warning("%s: it is done again from the start", error)
        with locked(folder):
            refuse_strangers(folder, "run")
            clear(folder)
    remove_damaged(folder / "checkpoints")
    begin(resume="auto")
    return read_json(folder / RESULTS, "start the study again")


def _done(folder: Path) -> dict[str, Any] | None:
    """The results of a run that is done; None where they, or its model, cannot be read."""
    if not (folder / RESULTS).is_file():
        return None
    try:
        load(folder / MODEL)
        return read_json(folder / RESULTS, "it is made again")
    except UserError as error:
        log.warning("%s", error)
        return None


def _result(results: dict[str, Any], split: str) -> dict[str, Any]:
    judged = results[split]
    told = {
        name: judged[name] for name in ("top1", "loss", "images") if name in judged
    }  # what is masked has no classes
    return told | {"seconds": results.get("seconds")}


def _losses(folder: Path) -> tuple[list[tuple[int, float]], list[float]]:
    """(step, loss) on the held-out images, and losses on training images, in order."""
    lines = read_metrics(folder)
    validation = [(line["step"], line["validation"]["loss"]) for line in lines if "validation" in line]
    return validation, [line["loss"] for line in lines if "loss" in line]
