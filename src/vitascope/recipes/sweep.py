"""The learning-rate sweep of Table 4: choose on a held-out part of the training set, then train on all of it."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Unpack

from vitascope.checkpoints.run_files import RESULTS, read_json, write_json
from vitascope.data.copies import find_copies
from vitascope.data.groups import together
from vitascope.data.holdout import stratified_holdout
from vitascope.data.open import open_data
from vitascope.data.source import Source, Splits
from vitascope.errors import ConfigError, DataError
from vitascope.lock import locked
from vitascope.recipes import run_folder
from vitascope.recipes.choose import with_start
from vitascope.recipes.finetune import finetune
from vitascope.recipes.plan import Limits, in_steps
from vitascope.recipes.prepare import RunData, for_labels
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.recipes.run import How
from vitascope.training.parallel import world
from vitascope.training.train_settings import seconds

log = logging.getLogger(__name__)


def finetune_with_sweep(recipe: FinetuneRecipe, **how: Unpack[How]) -> Path:
    """Fine-tunes once per rate into OUT/sweep/lr-…, then with the best into OUT; returns OUT/model.

    A time budget is for all of it: each rate has the same share, the last run what is left. A resumed sweep skips the
    rates that are done, and is refused when they were tried with other settings or images. Raises what `finetune`
    raises.
    """
    out, limits, runs = Path(recipe.out), how.get("limits") or Limits(), len(recipe.sweep_rates) + 1
    recipe = with_start(recipe, how, runs)
    resume, overwrite, watched = how.get("resume", False), how.get("overwrite", False), how.get("observer")
    total = None if recipe.time_budget is None else seconds(recipe.time_budget)
    recipe = _with_time(recipe, total and total / runs)
    ask = partial(run_folder.check_free, out, sources=(recipe.checkpoint,), sweep=True)
    free = partial(ask, resume=resume, overwrite=overwrite)
    with world(recipe.device) as w, ExitStack() as kept:
        with w.together():
            if not recipe.sweep_rates or not recipe.holdout:
                raise ConfigError("a sweep needs at least one of --sweep-rates and a --holdout above 0")
            if w.first:
                free()
            splits = how.get("splits") or open_data(recipe.data, seed=recipe.seed)
            if splits.train is None:
                raise DataError(f"{recipe.data} has no training images; expected class folders, or a train split")
            recipe = for_labels(recipe, splits.train)
            score = "map" if splits.train.several else "top1"
            copies = find_copies(splits.present().values())
            side, _ = together(splits, copies, recipe.group)
            rest, held = stratified_holdout(splits.train, recipe.holdout, recipe.seed, side)
        going_on = False
        with w.together():
            if w.first:
                kept.enter_context(locked(out))
                # Asked again, because another process may have come first.
                going_on = free()
                if going_on:
                    _refuse_changed(out, recipe, rest, held)
                elif overwrite:
                    run_folder.clear(out)
        figures: dict[float, dict[str, float]] = {}
        for rate in recipe.sweep_rates:
            folder = out / run_folder.SWEEP / f"lr-{rate:g}"
            found = w.gather(_result(folder, score))[0]  # the first process's: others may have another disk
            if found is None:
                log.info("sweep: learning rate %g", rate)
                part, alone = Splits(train=rest, validation=held), Limits(longest=limits.longest, runs=runs)
                trial: How = {"splits": part, "resume": "auto", "observer": watched, "limits": alone}
                trial["report"] = lambda report: None  # of what stands for a rate alone
                finetune(_trial(recipe, rate, folder), **trial)
                found = w.gather(_result(folder, score))[0]
            figures[rate] = found
            log.info("sweep: learning rate %g reaches %.2f %%", rate, 100 * found[score])
        # On a small held-out part several rates often reach the same accuracy; then the loss decides.
        best = max(figures, key=lambda rate: (figures[rate][score], -figures[rate]["loss"]))
        if w.first:
            reached = {f"{rate:g}": found[score] for rate, found in figures.items()}
            write_json(
                out / run_folder.SWEEP / RESULTS,
                {f"{score}_by_rate": reached, "best": best, "validation": figures[best]},
            )
        # Trained on all of it, there is nothing left to tell which of its weights are best.
        keep = "last" if splits.validation is None else recipe.keep
        if not w.gather(going_on)[0]:
            recipe = _with_time(recipe, total and max(total - (time.monotonic() - limits.begun), 1.0))
        final = replace(recipe, lr=best, sweep=False, holdout=0.0, keep=keep)
        return finetune(final, splits=splits, resume="auto", observer=watched)


def _result(folder: Path, score: str) -> dict[str, float] | None:
    """What a rate reached on the held-out part; None where that is to be found out, also because it was damaged."""
    with suppress(ConfigError, KeyError, TypeError):
        found: dict[str, float] = read_json(folder / RESULTS, "it is made again")["validation"]
        return {**found, score: found[score] + 0, "loss": found["loss"] + 0}
    return None


def _with_time(recipe: FinetuneRecipe, part: float | None) -> FinetuneRecipe:
    """`recipe` with so many seconds, where it has a time budget."""
    return recipe if part is None else replace(recipe, time_budget=f"{part:.1f}s")


def _trial(recipe: FinetuneRecipe, rate: float, folder: Path) -> FinetuneRecipe:
    return replace(recipe, lr=rate, sweep=False, out=str(folder))


def _refuse_changed(out: Path, recipe: FinetuneRecipe, rest: Source, held: Source) -> None:
    """`ConfigError` when trials that were begun had other settings or images than are asked for now."""
    told = {"train": rest.contents(), "validation": held.contents()}
    data = RunData(train=rest, validation=held, test=None, contents=told)
    changed: list[str] = []
    for config in sorted(out.glob(f"{run_folder.SWEEP}/lr-*/{run_folder.CONFIG}")):
        folder = config.parent
        trial = _trial(recipe, run_folder.stored_config(folder).get("lr", recipe.lr), folder)
        changed += run_folder.changes(folder, in_steps(trial, run_folder.stored_data(folder)[1]), data)
    if changed:
        said = "; ".join(dict.fromkeys(changed))
        raise ConfigError(
            f"the sweep in {out} was started with other settings ({said}); repeat those, choose another --out, "
            "or start again with --overwrite"
        )
