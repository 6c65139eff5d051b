"""A run before its first step: what was left open is decided, how long it takes and what it needs is said."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field, replace

from vitascope.errors import ConfigError
from vitascope.models.bit import BiT
from vitascope.models.catalogue import count_parameters
from vitascope.models.learned import ALL
from vitascope.models.masked import Masked
from vitascope.models.vit import ViT
from vitascope.precision import resolve_precision
from vitascope.recipes.prepare import RunData
from vitascope.recipes.presets import DEFAULT_EPOCHS
from vitascope.recipes.recipe import Recipe
from vitascope.training.job import Budget, Job
from vitascope.training.parallel import World
from vitascope.training.record import tensorboard_writer
from vitascope.training.schedule import warmup_steps
from vitascope.training.speed import fitting_micro_batch, judged_at_once, measure_step
from vitascope.training.train_settings import seconds
from vitascope.wording import duration, memory_text, until

log = logging.getLogger(__name__)

DAY = 86400.0
_NOISE = 3
"""How many times as long a step may be measured as it really takes, where other work interferes."""
_WRITING = 3.2
"""Seconds for the files of a result besides the model, its page among them, and for the process to end."""
_KEPT, _WRITTEN = 20, 2e8
"""Bytes a parameter of the last checkpoint and the model, and bytes written and hashed in a second, at least."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a command line knows of a run's time."""

    begun: float = field(default_factory=lambda: time.monotonic())
    """When the command began, by `time.monotonic`; a time budget counts from there."""
    longest: float = math.inf
    """Seconds that a run of so many steps may take without being refused."""
    runs: int = 1
    """How many such runs there will be, in a sweep."""


def resolve(
    job: Job, recipe: Recipe, data: RunData, model: ViT | BiT | Masked, world: World, limits: Limits | None
) -> tuple[Recipe, float]:
    """`recipe` with everything decided that was left open, and the seconds of a step; says the plan.

    `job` is that of `recipe`, of any number of steps. Raises `ConfigError` for what cannot fit the memory or takes
    longer than `limits` say. Without any, as in a study, nobody waits for a plan, and no step is measured for it.
    """
    if recipe.keep == "best" and data.validation is None:
        raise ConfigError("--keep best needs a validation set to choose on; give a --holdout above 0, or --keep last")
    job.order(world)  # what these refuse is refused before there is a folder
    job.transform()
    if recipe.tensorboard:
        tensorboard_writer()
    fast = world.first_says(float(resolve_precision(recipe.precision, world.device) == "bfloat16"))
    recipe = replace(recipe, precision="bfloat16" if fast else "float32")
    share = math.ceil(recipe.batch / world.size)
    fitting, memory = fitting_micro_batch(replace(job, settings=recipe), model, world)
    step, micro = 0.0, fitting
    measured = replace(job, settings=replace(recipe, micro_batch=fitting))
    if limits is not None or recipe.time_budget is not None or recipe.micro_batch == "auto":
        step, micro = measure_step(measured, model, world)
    if recipe.micro_batch == "auto" or micro < min(recipe.micro_batch or share, share):
        recipe = replace(recipe, micro_batch=micro)
    shape = f"{count_parameters(model.config) / 1e6:.3g} M parameters at {model.config.image_size[0]} px"
    if job.learned != ALL:
        shape += f", {sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6:.3g} M of them learn"
    images = f"{recipe.batch} images{f' in parts of {micro}' if micro < share else ''}"
    limits, passes = limits or Limits(), job.learned.passes(model.config)
    if recipe.time_budget is not None:
        parameters = sum(p.numel() for p in model.parameters())
        steps, budget = by_the_clock(recipe, data, world, step, parameters, limits.begun, passes)
        if steps < 1 / _NOISE:  # a moment in which other work held the machine up refuses nothing
            step = min(step, measure_step(measured, model, world)[0])
            steps, budget = by_the_clock(recipe, data, world, step, parameters, limits.begun, passes)
        if steps < 1 / _NOISE:
            raise ConfigError(
                f"time_budget {recipe.time_budget}: a step takes {step:.2f}s and the last evaluation "
                f"{budget.judging(budget.image):.0f}s, so none fits; give more time, a smaller --batch or model"
            )
        left = until(budget.begun + budget.total - time.monotonic())
        each = f"{images}, {_short(step)} each"
        log.info("%s: %s steps or so of %s, %s; %s of memory", shape, f"{steps:,.0f}", each, left, memory_text(memory))
        _warn(recipe, max(round(steps), 1), len(data.train))
        return recipe, step
    epochs = None if recipe.steps else recipe.epochs or DEFAULT_EPOCHS[type(recipe)]
    recipe = in_steps(replace(recipe, epochs=epochs), len(data.train))
    assert recipe.steps is not None
    steps, job = recipe.steps, replace(job, steps=recipe.steps)
    _warn(recipe, steps, len(data.train))
    recipe = replace(recipe, eval_every=job.every(recipe.eval_every), save_every=job.every(recipe.save_every))
    judged = (steps // job.every(recipe.eval_every) + 1) * len(data.validation or ()) + len(data.test or ())
    takes = (steps + judged / recipe.batch / judged_at_once(passes, recipe.precision)) * step * limits.runs
    times = f", {limits.runs} times" if limits.runs > 1 else ""
    plan = f"{shape}: {steps:,} steps of {images}{f', {_short(step)} each' if step else ''}{times}"
    plan += f": about {duration(takes)}" if step else ""
    if takes > limits.longest:
        raise ConfigError(f"{plan}; give --time-budget 8h, a smaller model or --image-size, or --yes to start it so")
    log.info("%s%s; %s of memory", plan, f", {until(takes)}" if step else "", memory_text(memory))
    return recipe, step


def by_the_clock(
    recipe: Recipe, data: RunData, world: World, step: float, parameters: int, begun: float, passes: float
) -> tuple[float, Budget]:
    """About how many steps of `step` seconds fit the recipe's time, and what the loop is told of it.

    A step costs as much as so many forward `passes` on its images.
    """
    budget = Budget(
        begun=begun,
        total=seconds(str(recipe.time_budget)),
        image=step / math.ceil(recipe.batch / world.size) / judged_at_once(passes, recipe.precision),
        judged=tuple(math.ceil(len(s) / world.size) for s in (data.validation, data.test) if s is not None),
        writing=_WRITING + parameters * _KEPT / _WRITTEN,
    )
    left = budget.end - time.monotonic() - budget.judging(budget.image)
    return world.first_says(left / step), budget


def _short(step: float) -> str:
    return f"{step:.2g}s" if step < 10 else duration(step)


def in_steps(recipe: Recipe, images: int) -> Recipe:
    """`recipe` with its epochs over so many training images, if it has them, said in steps."""
    if recipe.epochs is None:
        return recipe
    steps = max(math.ceil(recipe.epochs * images / recipe.batch), 1)
    return replace(recipe, steps=steps, epochs=None)


def _warn(recipe: Recipe, steps: int, images: int) -> None:
    """Says which settings do not suit a run of so many steps on so many images."""
    warmup = warmup_steps(recipe, steps)
    if recipe.warmup >= 1 and warmup < int(recipe.warmup):
        log.warning(
            "a warm-up of %s steps is too long for a run of %s: %s are used; --warmup 0.1 is a tenth of any run",
            *(f"{n:,}" for n in (int(recipe.warmup), steps, warmup)),
        )
    if recipe.batch > images:
        log.warning(
            "a batch of %s shows each of the %s training images more than once a step; try --batch %d",
            *(f"{recipe.batch:,}", f"{images:,}", 2 ** max(int(math.log2(images)) - 4, 3)),
        )
    for name, lost in (("eval_every", "nothing is evaluated"), ("save_every", "nothing is saved")):
        if (every := getattr(recipe, name)) and every > steps:
            log.warning(
                "--%s %d is longer than the run of %d steps: %s before its end",
                name.replace("_", "-"),
                every,
                steps,
                lost,
            )
