"""The learning-rate sweep of Table 4: choose on a held-out part of the training set, then train on all of it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from vitascope.checkpoints.output import check_writable
from vitascope.data.copies import find_copies
from vitascope.data.open import open_data
from vitascope.data.source import Source, Splits, stratified_holdout
from vitascope.errors import ConfigError, DataError
from vitascope.recipes.finetune import finetune
from vitascope.recipes.plan import Limits, in_steps
from vitascope.recipes.run_folder import (
    CONFIG,
    RESULTS,
    SWEEP,
    changes,
    check_free,
    refuse_busy,
    stored_config,
    stored_data,
    write_json,
)
from vitascope.recipes.settings import FinetuneRecipe
from vitascope.training.observer import Observer
from vitascope.training.settings import seconds

log = logging.getLogger(__name__)


def finetune_with_sweep(
    recipe: FinetuneRecipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer | None = None,
    limits: Limits | None = None,
) -> Path:
    """Fine-tunes once per rate into OUT/sweep/lr-…, then with the best into OUT; returns OUT/model.

    A time budget is for all of it: each rate has the same share, the last run what is left. A resumed sweep skips the
    rates that are done, and is refused when they were tried with other settings. Raises what `finetune` raises.
    """
    out, limits = Path(recipe.out), limits or Limits()
    first = os.environ.get("RANK", "0") == "0"
    check_writable(out)
    begun = (out / SWEEP).is_dir()
    if begun and not resume and not overwrite:
        raise ConfigError(f"{out} exists; choose another --out, or give --resume or --overwrite")
    if overwrite or not begun:
        check_free(out, resume=resume, overwrite=overwrite, sources=(recipe.checkpoint,))
    if not recipe.sweep_rates or not recipe.holdout:
        raise ConfigError("a sweep needs at least one of --sweep_rates and a --holdout above 0")
    splits = open_data(recipe.data, seed=recipe.seed)
    if splits.train is None:
        raise DataError(f"{recipe.data} has no training images; expected class folders, or a train split")
    copies = find_copies(splits.present().values())
    rest, held = stratified_holdout(splits.train, recipe.holdout, recipe.seed, copies.of(splits.train))
    if resume:
        _refuse_changed(out, recipe, rest)
    if overwrite and out.exists():
        if first:  # alone, because the others' looking would seem like training to it
            refuse_busy(out)
        shutil.rmtree(out, ignore_errors=True)  # by each process of `torchrun`
    figures: dict[float, dict[str, float]] = {}
    whole, runs = recipe, len(recipe.sweep_rates) + 1
    recipe = _with_time(whole, lambda total: total / runs)
    for rate in recipe.sweep_rates:
        folder = out / SWEEP / f"lr-{rate:g}"
        trial = _trial(recipe, rate, folder)
        if not (folder / RESULTS).is_file():
            go_on = (folder / CONFIG).is_file()
            if folder.exists() and not go_on:
                shutil.rmtree(folder, ignore_errors=True)  # killed before the run began; by each process
            log.info("sweep: learning rate %g", rate)
            alone = Limits(longest=limits.longest, runs=runs)
            splits_of_trial = Splits(train=rest, validation=held)
            finetune(trial, splits=splits_of_trial, resume=go_on, observer=observer, limits=alone)
        figures[rate] = json.loads((folder / RESULTS).read_text(encoding="utf-8"))["validation"]
        log.info("sweep: learning rate %g reaches %.2f %%", rate, 100 * figures[rate]["top1"])
    # On a small held-out part several rates often reach the same accuracy; then the loss decides.
    best = max(figures, key=lambda rate: (figures[rate]["top1"], -figures[rate]["loss"]))
    if first:
        top1 = {f"{rate:g}": found["top1"] for rate, found in figures.items()}
        write_json(out / SWEEP / RESULTS, {"top1_by_rate": top1, "best": best, "validation": figures[best]})
    # Trained on all of it, there is nothing left to tell which of its weights are best.
    keep = "last" if splits.validation is None else recipe.keep
    if not resume:
        passed = time.monotonic() - limits.begun
        recipe = _with_time(whole, lambda total: max(total - passed, 1.0))
    final = dataclasses.replace(recipe, lr=best, sweep=False, holdout=0.0, keep=keep)
    return finetune(
        final,
        splits=splits,
        resume=(out / CONFIG).is_file(),
        observer=observer,
    )


def _with_time(recipe: FinetuneRecipe, part: Callable[[float], float]) -> FinetuneRecipe:
    """`recipe` with a part of its time budget, where it has one."""
    if recipe.time_budget is None:
        return recipe
    return dataclasses.replace(recipe, time_budget=f"{part(seconds(recipe.time_budget)):.1f}s")


def _trial(recipe: FinetuneRecipe, rate: float, folder: Path) -> FinetuneRecipe:
    return dataclasses.replace(recipe, lr=rate, sweep=False, out=str(folder))


def _refuse_changed(out: Path, recipe: FinetuneRecipe, rest: Source) -> None:
    """`ConfigError` when trials that were begun had other settings or images than are asked for now."""
    changed: list[str] = []
    for config in sorted(out.glob(f"{SWEEP}/*/{CONFIG}")):
        folder = config.parent
        # Images that cannot be read may have been left out; how many is known only after reading all.
        images = stored_data(folder)[1] if recipe.on_error == "skip" else len(rest)
        trial = in_steps(_trial(recipe, stored_config(folder).get("lr", recipe.lr), folder), images)
        changed += changes(folder, trial, rest.classes, images)
    if changed:
        said = "; ".join(dict.fromkeys(changed))
        raise ConfigError(
            f"the sweep in {out} was started with other settings ({said}); repeat those, choose another --out, "
            "or start again with --overwrite"
        )
