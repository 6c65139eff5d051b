"""One run from prepared data and model to the result: shared by pre-training, fine-tuning and the demo."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.save import save
from vitascope.checkpoints.shown import Shown, shown_to
from vitascope.checkpoints.tensor_file import read_safetensors
from vitascope.data.copies import digests
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.errors import CheckpointError
from vitascope.evaluation.evaluate import evaluate
from vitascope.evaluation.metrics import judged
from vitascope.lock import locked
from vitascope.models.bit import BiT
from vitascope.models.vit import ViT
from vitascope.recipes.figures import draw_curves
from vitascope.recipes.plan import Limits, by_the_clock, in_steps, resolve
from vitascope.recipes.prepare import RunData, in_any_order
from vitascope.recipes.recipe import Recipe, fixed, to_dict
from vitascope.recipes.run_folder import MODEL, RESULTS, check_free, check_same, start_folder, stored_data, write_json
from vitascope.training.job import Job
from vitascope.training.loop import best_weights, train
from vitascope.training.observer import Observer
from vitascope.training.parallel import World
from vitascope.training.record import time_spent
from vitascope.training.speed import measure_step
from vitascope.training.state import TrainState, copy_weights, load_state, new_state, saved_states
from vitascope.version import __version__

log = logging.getLogger(__name__)


def run(
    recipe: Recipe,
    data: RunData,
    model: ViT | BiT,
    preprocess: Preprocess,
    world: World,
    *,
    card: dict[str, Any],
    before: Shown | None,
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer | None = None,
    limits: Limits | None = None,
) -> Path:
    """Trains `model` as `recipe` says, evaluates it, writes the run's folder; returns the folder of the result.

    `before`: what the model had been shown. `resume` is what `decide` said of the run's folder. Raises what `train`
    raises, and `ConfigError` where the processes have other settings or data.
    """
    folder, step = Path(recipe.out), 0.0
    model.to(world.device)
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    told = {"version": __version__, **fixed(recipe), "classes": data.classes}
    told |= {f"{name} images": len(source) for name, source in splits.items() if source is not None}
    told |= {f"names and sizes of {name}": value.encode() for name, value in data.contents.items()}
    world.agree(told, "give all processes the same settings and the same data")
    world.share(model.state_dict().values())
    shown = shown_to(data.train, data.validation, before, chosen=recipe.keep == "best")
    for name, source in (("validation", data.validation), ("test", data.test)):
        marks = None if before is None or source is None else digests(source)
        if before is not None and marks is not None and (again := np.isin(marks, before.trained).sum()):
            what = f"of {len(marks)} {name} images are among those that the checkpoint was trained on before"
            log.warning("%d %s; its figures flatter", again, what)
    if not resume:
        job = make_job(recipe, recipe.steps or 1, data, preprocess)
        recipe, step = resolve(job, recipe, data, model, world, limits)
    with ExitStack() as kept:
        with world.together():
            if world.first:
                kept.enter_context(locked(folder))
                if not resume:  # asked again, because another process may have come first
                    check_free(folder, resume=False, overwrite=overwrite)
                    start_folder(folder, recipe, data, overwrite)
            if resume:
                recipe = _as_stored(recipe, check_same(folder, in_steps(recipe, stored_data(folder)[1]), data))
        if resume and recipe.time_budget is not None:
            step, _ = measure_step(make_job(recipe, 1, data, preprocess), model, world)
        return _run_resolved(recipe, data, model, preprocess, world, card, shown, resume, observer, step, limits)


def _run_resolved(
    recipe: Recipe,
    data: RunData,
    model: ViT | BiT,
    preprocess: Preprocess,
    world: World,
    card: dict[str, Any],
    shown: Shown,
    resume: bool,
    observer: Observer | None,
    step: float,
    limits: Limits | None,
) -> Path:
    folder = Path(recipe.out)
    identity = json.dumps([fixed(recipe), data.classes, data.contents], sort_keys=True)
    state = new_state(model, recipe, hashlib.sha256(identity.encode()).hexdigest())
    states = saved_states(folder / "checkpoints") if resume else []
    told = "none"
    with world.together():
        if states:
            told = f"{states[-1].name} {load_state(states[-1], state)[:12]}"
    remedy = f"put {folder / 'checkpoints'} of one on every machine, or on a disk that all share"
    world.agree({"checkpoint": told}, remedy)
    done = state.counters
    if recipe.keep == "best" and done.best_step >= 0 and not world.gather(_best(folder, state) is not None)[0]:
        log.warning("the best weights, of step %d, are lost; the best is chosen from here on", done.best_step)
        done.best, done.best_step = -1.0, -1
    if recipe.time_budget is not None:
        begun = (limits or Limits()).begun - done.seconds
        planned, budget = by_the_clock(recipe, data, world, step, sum(p.numel() for p in model.parameters()), begun)
        done.planned = done.planned or max(round(planned), 1)
        data = in_any_order(data, recipe.seed)
        job = replace(make_job(recipe, done.planned, data, preprocess), budget=budget)
    else:
        assert recipe.steps is not None
        job = make_job(recipe, recipe.steps, data, preprocess)
    if states:
        log.info("resumed from step %d%s", done.step, "" if job.budget else f" of {job.steps}")
    last = train(job, state, world, observer)
    with world.together():
        if world.first:
            _take_result(job, state)
    world.share(model.state_dict().values())
    results = _evaluate_result(job, data, model, world, last if recipe.keep == "last" else None)
    results |= {
        "steps": done.step,
        "train_images": len(data.train),
        "epochs": round(job.order(world).epoch(done.step), 2),
    }
    if recipe.on_error == "skip":
        results["unreadable"] = data.unreadable
    if recipe.keep == "best":
        results["best_step"] = state.counters.best_step
    if world.first:
        results |= time_spent(folder)
        _write_result(folder, recipe, model, preprocess, data.classes, results, card, shown)
    world.wait()
    return folder / MODEL


def make_job(recipe: Recipe, steps: int, data: RunData, preprocess: Preprocess) -> Job:
    """The training job of a resolved recipe."""
    return Job(
        settings=recipe,
        steps=steps,
        train=data.train,
        validation=data.validation,
        preprocess=preprocess,
        folder=Path(recipe.out),
    )


def _as_stored(recipe: Recipe, stored: dict[str, Any]) -> Recipe:
    """`recipe` with what the first start of the run resolved."""
    values = {name: stored[name] for name in ("steps", "precision", "eval_every")}
    for name in ("save_every", "micro_batch"):  # which may change, if that is asked for
        given = getattr(recipe, name)
        values[name] = given if isinstance(given, int) else stored[name]
    return replace(recipe, epochs=None, time_budget=stored.get("time_budget"), **values)


def _best(folder: Path, state: TrainState) -> dict[str, torch.Tensor] | None:
    """The best weights so far; None where they are not those that were written."""
    try:
        found = read_safetensors(best_weights(folder))
    except (OSError, CheckpointError):
        return None
    return found.tensors if found.sha256 == state.counters.best_sha256 else None


def _take_result(job: Job, state: TrainState) -> None:
    """Puts the weights that are the run's result into the model."""
    if job.settings.keep == "best" and state.counters.best_step >= 0:
        weights = _best(job.folder, state)
        if weights is None:
            raise CheckpointError(f"{best_weights(job.folder)} has been changed or removed; go on with --resume")
        copy_weights(state.model, weights)
    elif state.ema is not None:
        copy_weights(state.model, state.ema.tensors)


def _evaluate_result(
    job: Job, data: RunData, model: torch.nn.Module, world: World, last: dict[str, float | int] | None
) -> dict[str, Any]:
    """Figures by split; the validation set's are the `last` ones of training, where the same weights made them."""

    def figures(name: str, source: Source) -> dict[str, float | int]:
        tally = evaluate(
            model,
            source,
            job.preprocess,
            batch=job.settings.batch,
            device=world.device,
            precision=job.settings.precision,
            rank=world.rank,
            processes=world.size,
            workers=job.settings.workers,
            until=job.budget.end if job.budget else math.inf,
        )
        tally.restore(world.sum(tally.vector()))
        if tally.images < len(source):
            log.warning(
                "%s: %s of %s images, taken at random, were counted in the time; `vitascope evaluate` counts all",
                *(name, f"{tally.images:,}", f"{len(source):,}"),
            )
        return tally.summary()

    results: dict[str, Any] = {}
    for name, source in (("validation", data.validation), ("test", data.test)):
        if source is not None:
            found = (last if name == "validation" else None) or figures(name, source)
            results[name] = judged(found, np.bincount(source.labels, minlength=len(source.classes)), source.classes)
    if job.settings.keep == "best" and "validation" in results:
        results["validation"]["chosen_on"] = True  # its best weights are the result, so it flatters them a little
    return results


def _write_result(
    folder: Path,
    recipe: Recipe,
    model: ViT | BiT,
    preprocess: Preprocess,
    classes: tuple[str, ...],
    results: dict[str, Any],
    card: dict[str, Any],
    shown: Shown,
) -> None:
    model.cpu().eval()
    checkpoint = Checkpoint(
        model=model,
        preprocess=preprocess,
        labels=classes,
        card={**card, "recipe": to_dict(recipe), "results": results},
        shown=shown,
    )
    save(checkpoint, folder / MODEL, overwrite=True)
    write_json(folder / RESULTS, results)
    draw_curves(folder)
