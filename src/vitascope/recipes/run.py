"""One run from prepared data and model to the result: shared by pre-training, fine-tuning and the demo."""

from __future__ import annotations

import dataclasses
import logging
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.safetensors_file import read_safetensors
from vitascope.checkpoints.save import save
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.errors import ConfigError
from vitascope.evaluation.evaluate import evaluate
from vitascope.models.bit import BiT
from vitascope.models.vit import ViT
from vitascope.precision import resolve_precision
from vitascope.recipes.figures import draw_curves
from vitascope.recipes.prepare import RunData
from vitascope.recipes.presets import DEFAULT_EPOCHS
from vitascope.recipes.run_folder import MODEL, RESULTS, check_same, locked, start_folder, write_json
from vitascope.recipes.settings import Recipe, to_dict
from vitascope.training.job import Job
from vitascope.training.loop import best_weights, train
from vitascope.training.observer import Observer
from vitascope.training.parallel import World
from vitascope.training.record import tensorboard_writer, time_spent
from vitascope.training.settings import seconds
from vitascope.training.speed import largest_micro_batch, measure_run
from vitascope.training.state import TrainState, copy_weights, load_state, new_state, saved_states

log = logging.getLogger(__name__)


def run(
    recipe: Recipe,
    data: RunData,
    model: ViT | BiT,
    preprocess: Preprocess,
    world: World,
    *,
    card: dict[str, Any],
    resume: bool = False,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> Path:
    """Trains `model` as `recipe` says, evaluates it, writes the run's folder; returns the folder of the result.

    The run's folder must have been checked with `check_free`. Raises what `train` raises.
    """
    folder = Path(recipe.out)
    model.to(world.device)
    if resume:
        stored = check_same(folder, in_steps(recipe, len(data.train)), data.classes, len(data.train))
        recipe = _as_stored(recipe, stored)
    else:
        recipe = _resolve(recipe, data, model, preprocess, world)
        if world.first:
            start_folder(folder, recipe, data.classes, len(data.train), overwrite)
        world.wait()
    with locked(folder) if world.first else nullcontext():
        return _run_resolved(recipe, data, model, preprocess, world, card, resume, observer)


def _run_resolved(
    recipe: Recipe,
    data: RunData,
    model: ViT | BiT,
    preprocess: Preprocess,
    world: World,
    card: dict[str, Any],
    resume: bool,
    observer: Observer | None,
) -> Path:
    assert recipe.steps is not None
    folder = Path(recipe.out)
    job = make_job(recipe, recipe.steps, data, preprocess)
    state = new_state(model, recipe)
    states = saved_states(folder / "checkpoints") if resume else []
    if states:
        load_state(states[-1], state)
        log.info("resumed from step %d of %d", state.counters.step, job.steps)
    train(job, state, world, observer)
    _take_result(job, state)
    results = _evaluate_result(recipe, data, model, preprocess, world)
    results |= {
        "steps": job.steps,
        "train_images": len(data.train),
        "epochs": round(job.order(world).epoch(job.steps), 2),
    }
    if recipe.on_error == "skip":
        results["unreadable"] = data.unreadable
    if recipe.keep == "best":
        results["best_step"] = state.counters.best_step
    if world.first:
        results |= time_spent(folder)
        _write_result(folder, recipe, model, preprocess, data.classes, results, card)
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


def _resolve(recipe: Recipe, data: RunData, model: ViT | BiT, preprocess: Preprocess, world: World) -> Recipe:
    """Everything left open is decided: precision, micro-batch, number of steps and intervals."""
    if recipe.keep == "best" and data.validation is None:
        raise ConfigError("--keep best needs a validation set to choose on; give a --holdout above 0, or --keep last")
    fast = world.first_says(float(resolve_precision(recipe.precision, world.device) == "bfloat16"))
    recipe = dataclasses.replace(recipe, precision="bfloat16" if fast else "float32")
    if recipe.micro_batch == "auto":
        job = make_job(recipe, 1, data, preprocess)
        recipe = dataclasses.replace(recipe, micro_batch=largest_micro_batch(job, model, world))
    steps = recipe.steps
    if recipe.time_budget is not None:
        budget = seconds(recipe.time_budget)
        steps = measure_run(make_job(recipe, 10**9, data, preprocess), model, world, budget, data.test)
    elif steps is None:
        whole = dataclasses.replace(recipe, epochs=recipe.epochs or DEFAULT_EPOCHS[type(recipe)])
        steps = in_steps(whole, len(data.train)).steps
    assert steps is not None
    job = make_job(recipe, steps, data, preprocess)
    # What these refuse is refused before there is a folder.
    job.order(world)
    job.transform()
    if recipe.tensorboard:
        tensorboard_writer()
    return dataclasses.replace(
        recipe,
        steps=steps,
        epochs=None,
        time_budget=None,
        eval_every=job.every(recipe.eval_every),
        save_every=job.every(recipe.save_every),
    )


def in_steps(recipe: Recipe, images: int) -> Recipe:
    """`recipe` with its epochs over so many training images, if it has them, said in steps."""
    if recipe.epochs is None:
        return recipe
    steps = max(math.ceil(recipe.epochs * images / recipe.batch), 1)
    return dataclasses.replace(recipe, steps=steps, epochs=None)


def _as_stored(recipe: Recipe, stored: dict[str, Any]) -> Recipe:
    """`recipe` with what the first start of the run resolved."""
    names = ("steps", "precision", "eval_every", "save_every")
    micro = {"micro_batch": stored["micro_batch"]} if recipe.micro_batch == "auto" else {}
    return dataclasses.replace(recipe, epochs=None, time_budget=None, **{n: stored[n] for n in names}, **micro)


def _take_result(job: Job, state: TrainState) -> None:
    """Puts the weights that are the run's result into the model."""
    best = best_weights(job.folder)
    if job.settings.keep == "best" and best.exists():
        copy_weights(state.model, read_safetensors(best).tensors)
    elif state.ema is not None:
        copy_weights(state.model, state.ema.tensors)


def _evaluate_result(
    recipe: Recipe, data: RunData, model: torch.nn.Module, preprocess: Preprocess, world: World
) -> dict[str, Any]:
    def figures(source: Source) -> dict[str, float | int]:
        tally = evaluate(
            model,
            source,
            preprocess,
            batch=recipe.batch,
            device=world.device,
            precision=recipe.precision,
            rank=world.rank,
            processes=world.size,
            workers=recipe.workers,
        )
        tally.restore(world.sum(tally.vector()))
        return tally.summary()

    parts = {"validation": data.validation, "test": data.test}
    return {name: figures(source) for name, source in parts.items() if source is not None}


def _write_result(
    folder: Path,
    recipe: Recipe,
    model: ViT | BiT,
    preprocess: Preprocess,
    classes: tuple[str, ...],
    results: dict[str, Any],
    card: dict[str, Any],
) -> None:
    model.cpu().eval()
    checkpoint = Checkpoint(
        model=model,
        config=model.config,
        preprocess=preprocess,
        labels=classes,
        card={**card, "recipe": to_dict(recipe), "results": results},
    )
    save(checkpoint, folder / MODEL, overwrite=True)
    write_json(folder / RESULTS, results)
    draw_curves(folder)
