"""One run: prepared, planned, trained, evaluated, kept; the same for pre-training and fine-tuning."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.run_files import MODEL, RESULTS, write_json
from vitascope.checkpoints.save import save
from vitascope.checkpoints.shown import Shown, shown_to
from vitascope.checkpoints.tensor_file import read_safetensors
from vitascope.data.copies import digests
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source, Splits
from vitascope.errors import CheckpointError
from vitascope.lock import locked
from vitascope.models.bit import BiT
from vitascope.models.learned import ALL, Learned
from vitascope.models.masked import Masked
from vitascope.models.partly import whole
from vitascope.models.vit import ViT
from vitascope.recipes.plan import Limits, by_the_clock, in_steps, resolve
from vitascope.recipes.prepare import RunData, for_labels, in_any_order, prepare_data
from vitascope.recipes.recipe import Recipe, fixed, to_dict
from vitascope.recipes.run_folder import Resume, check_free, check_same, decide, start_folder, stored_data
from vitascope.recipes.trained_report import report_of_run
from vitascope.reports.figures import draw_curves
from vitascope.reports.reported import RunReport
from vitascope.reports.write import write_run_report
from vitascope.training.job import Job
from vitascope.training.loop import best_weights, train
from vitascope.training.objective import Classification, Counts, Objective, evaluate
from vitascope.training.observer import Observer
from vitascope.training.parallel import World, world
from vitascope.training.record import time_spent
from vitascope.training.speed import measure_step
from vitascope.training.state import TrainState, copy_weights, load_state, new_state, saved_states
from vitascope.training.train_settings import TrainSettings
from vitascope.version import __version__

log = logging.getLogger(__name__)


class How(TypedDict, total=False):
    """How a run is begun: what `pretrain`, `finetune` and `finetune_with_sweep` take besides the recipe."""

    splits: Splits | None
    """In place of the recipe's data."""
    resume: Resume
    overwrite: bool
    observer: Observer | None
    limits: Limits | None
    report: Callable[[RunReport], object] | None
    """Takes what there is to report, in place of the run's folder."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run begins with."""

    data: RunData
    """What it trains and is judged on."""
    model: ViT | BiT
    """With the weights it starts from."""
    preprocess: Preprocess
    """How the model sees images."""
    card: dict[str, Any]
    """What its result says of itself besides the recipe and the results."""
    before: Shown | None
    """What the model had been shown; None where nothing is known."""
    around: Masked | None = None
    """What is trained, where that is more than the model, whose weights are among its own."""
    kind: Callable[[TrainSettings, Preprocess, int], Objective] = Classification
    """What makes the objective."""

    @property
    def trained(self) -> ViT | BiT | Masked:
        """What is trained."""
        return self.around or self.model

    learned: Learned = ALL
    """Which part of the model learns."""

    def job(self, recipe: Recipe, steps: int) -> Job:
        """The training job of a resolved recipe."""
        return Job(
            settings=recipe,
            steps=steps,
            train=self.data.train,
            validation=self.data.validation,
            preprocess=self.preprocess,
            folder=Path(recipe.out),
            kind=self.kind,
            learned=self.learned,
        )


def run(
    recipe: Recipe, begin: Callable[[Callable[..., RunData]], Start], sources: Sequence[str] = (), **how: Unpack[How]
) -> Path:
    """Trains as `recipe` says, evaluates, writes the run's folder; returns the folder of the result (RUN/model).

    `begin` makes the start, and the data when it asks for them; `sources` are what must not be overwritten. Raises
    `UserError` for what the user can mend, also where the processes have other settings or data, `Stopped` after a
    signal, `DivergedError`.
    """
    folder, step, overwrite = Path(recipe.out), 0.0, how.get("overwrite", False)
    observer, limits = how.get("observer"), how.get("limits") or (None if recipe.time_budget is None else Limits())
    with world(recipe.device) as w, ExitStack() as kept:
        going_on = decide(folder, w, resume=how.get("resume", False), overwrite=overwrite, sources=sources)
        with w.together():
            start = begin(partial(prepare_data, recipe, how.get("splits"), observer))
        recipe = for_labels(recipe, start.data.train)
        start.trained.to(w.device)
        _agree(recipe, start, w)
        fitted = bool(start.data.classes) and start.learned.part != "head"
        chosen = recipe.keep == "best"
        shown = shown_to(start.data.train, start.data.validation, start.before, chosen=chosen, features=fitted)
        if not going_on:
            recipe, step = resolve(start.job(recipe, recipe.steps or 1), recipe, start.data, start.trained, w, limits)
        with w.together():
            if w.first:
                kept.enter_context(locked(folder))
                if not going_on:  # asked again, because another process may have come first
                    check_free(folder, resume=False, overwrite=overwrite)
                    start_folder(folder, recipe, start.data, overwrite)
            if going_on:
                recipe = _as_stored(recipe, check_same(folder, in_steps(recipe, stored_data(folder)[1]), start.data))
        if going_on and recipe.time_budget is not None:
            step, _ = measure_step(start.job(recipe, 1), start.trained, w)
        start, job, state = _begun(recipe, start, w, going_on, step, limits)
        last = train(job, state, w, observer)
        with w.together():
            if w.first:
                _take_result(job, state)
        w.share(start.trained.state_dict().values())
        start = replace(start, model=whole(start.model))
        counted = _evaluate_result(job, start.data, start.trained, w, last if recipe.keep == "last" else None)
        results: dict[str, Any] = {name: counts.judged(start.data.classes) for name, counts in counted.items()}
        results |= {
            "steps": state.counters.step,
            "train_images": len(start.data.train),
            "epochs": round(job.order(w).epoch(state.counters.step), 2),
        }
        if recipe.on_error == "skip":
            results["unreadable"] = start.data.unreadable
        if recipe.keep == "best":
            results["best_step"] = state.counters.best_step
            if "validation" in results:  # its best weights are the result, so it flatters them a little
                results["validation"]["chosen_on"] = True
        if w.first:
            results |= time_spent(folder)
            report = how.get("report") or partial(write_run_report, folder)
            _write_result(job, start, results, shown, counted, report)
        w.wait()
        return folder / MODEL


def _agree(recipe: Recipe, start: Start, world: World) -> None:
    """`ConfigError` where the processes differ; weights are the first one's. Says what flatters the figures."""
    data, splits = start.data, start.data.judged
    told = {"version": __version__, **fixed(recipe), "classes": data.classes}
    told |= {f"{name} images": len(source) for name, source in {"training": data.train, **splits}.items()}
    told |= {f"names and sizes of {name}": value.encode() for name, value in data.contents.items()}
    world.agree(told, "give all processes the same settings and the same data")
    world.share(start.trained.state_dict().values())
    for name, source in splits.items():
        marks = None if start.before is None else digests(source)
        if start.before is not None and marks is not None and (again := np.isin(marks, start.before.trained).sum()):
            what = f"of {len(marks)} {name} images are among those that the checkpoint was trained on before"
            log.warning("%d %s; its figures flatter", again, what)


def _begun(
    recipe: Recipe, start: Start, world: World, going_on: bool, step: float, limits: Limits | None
) -> tuple[Start, Job, TrainState]:
    """The job of a resolved recipe, from where its last checkpoint left it; `start` as it is from here on."""
    folder, data = Path(recipe.out), start.data
    identity = json.dumps([fixed(recipe), data.classes, data.contents], sort_keys=True)
    state = new_state(start.trained, recipe, hashlib.sha256(identity.encode()).hexdigest())
    states = saved_states(folder / "checkpoints") if going_on else []
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
    if recipe.time_budget is None:
        assert recipe.steps is not None
        job = start.job(recipe, recipe.steps)
    else:
        since = (limits or Limits()).begun - done.seconds
        parameters = sum(p.numel() for p in start.trained.parameters())
        passes = start.learned.passes(start.model.config)
        planned, budget = by_the_clock(recipe, data, world, step, parameters, since, passes)
        done.planned = done.planned or max(round(planned), 1)
        start = replace(start, data=in_any_order(data, recipe.seed))
        job = replace(start.job(recipe, done.planned), budget=budget)
    if states:
        log.info("resumed from step %d%s", done.step, "" if job.budget else f" of {job.steps}")
    return start, job, state


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
    job: Job, data: RunData, model: torch.nn.Module, world: World, last: Counts | None
) -> dict[str, Counts]:
    """What was counted of each split; the validation set's are the `last` ones, where the same weights made them."""

    def counted(name: str, source: Source) -> Counts:
        tally = evaluate(
            job.objective,
            model,
            source,
            world,
            batch=job.settings.batch,
            workers=job.settings.workers,
            until=job.budget.latest if job.budget else math.inf,
        )
        tally.over(world)
        if tally.images < len(source):
            log.warning(
                "%s: %s of %s images, taken at random, were counted in the time; `vitascope evaluate` counts all",
                *(name, f"{tally.images:,}", f"{len(source):,}"),
            )
        return tally

    return {
        name: (last if name == "validation" else None) or counted(name, source) for name, source in data.judged.items()
    }


def _write_result(
    job: Job,
    start: Start,
    results: dict[str, Any],
    shown: Shown,
    counted: Mapping[str, Counts],
    report: Callable[[RunReport], object],
) -> None:
    folder, recipe = job.folder, cast(Recipe, job.settings)
    checkpoint = Checkpoint(
        model=start.model.cpu().eval(),
        preprocess=start.preprocess,
        labels=start.data.classes,
        activation=job.objective.activation,
        card={**start.card, "recipe": to_dict(recipe), "results": results},
        shown=shown,
    )
    save(checkpoint, folder / MODEL, overwrite=True)
    write_json(folder / RESULTS, results)
    draw_curves(folder)
    report(report_of_run(recipe, checkpoint, start.data, counted, results))
