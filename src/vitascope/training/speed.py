"""Measuring before training: how long a step takes, how many steps fit a time, how many images fit the memory."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
import time
from contextlib import suppress

import numpy as np
import torch
from torch import nn

from vitascope.data.batches import training_batches
from vitascope.errors import ConfigError, Stopped
from vitascope.evaluation.evaluate import evaluate
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.signals import StopFlag
from vitascope.training.state import new_state
from vitascope.training.step import parallel_model, training_step

_MARGIN = 0.92
"""Share of a time budget that is planned for: what was measured varies, and the result is written afterwards."""
_EVALUATIONS = 11
"""Evaluations of a run with default intervals: ten on the way and one of the result."""


def measure_run(job: Job, model: nn.Module, world: World, budget: float) -> int:
    """Steps that fit into `budget` seconds, evaluations included; measured on a copy of `model` in 5 % of the time.

    Raises `ConfigError` when not even a few steps fit.
    """
    begin = time.perf_counter()
    step = measure_step(job, model, world, for_seconds=max(0.05 * budget, 1.0))
    evaluation = 0.0
    if job.validation is not None:
        sample = min(len(job.validation), 2 * job.settings.batch)
        each = measure_evaluation(job, model, world, sample)
        evaluation = _EVALUATIONS * each * len(job.validation) / world.size
    left = _MARGIN * budget - (time.perf_counter() - begin) - evaluation
    steps = int(world.first_says(left / step))
    if steps < 1:
        raise ConfigError(
            f"time_budget {budget:.0f}s: a step takes {step:.2f}s and evaluation {evaluation:.0f}s, so no step fits; "
            "give more time, a smaller --batch or a smaller model"
        )
    return steps


def measure_step(job: Job, model: nn.Module, world: World, for_seconds: float) -> float:
    """Seconds per training step, from real steps on a copy of `model`: the median, since other work interferes."""
    state = new_state(copy.deepcopy(model), job.settings)
    state.model.train()
    runner = parallel_model(state.model, job.settings, world)
    batches = training_batches(job.train, job.transform(), job.order(world), 0, 10_000, 0)
    times: list[float] = []
    begin = time.perf_counter()
    with StopFlag() as stop:
        # The first step allocates and perhaps compiles; it is not counted.
        while not world.largest(int(len(times) >= 3 and time.perf_counter() - begin >= for_seconds)):
            start = time.perf_counter()
            training_step(job, state, runner, next(batches), world)
            times.append(time.perf_counter() - start)
            number = world.largest(stop.number)
            if number:
                raise Stopped(number, "stopped before the first step: nothing to save", "start again")
    return world.first_says(float(np.median(times[1:])))


def measure_evaluation(job: Job, model: nn.Module, world: World, images: int) -> float:
    """Seconds per validation image, from the first `images` of them."""
    assert job.validation is not None
    start = time.perf_counter()
    done = 0

    def enough(count: int) -> None:
        nonlocal done
        done = count
        if count >= images:
            raise _Enough

    with suppress(_Enough):
        evaluate(
            model,
            job.validation,
            job.preprocess,
            batch=job.settings.batch,
            device=world.device,
            precision=job.settings.precision,
            each_batch=enough,
        )
    return (time.perf_counter() - start) / max(done, 1)


class _Enough(Exception):
    pass


def largest_micro_batch(job: Job, model: nn.Module, world: World) -> int:
    """The largest micro-batch, halving from this process's share of a step, whose training step fits the memory."""
    share = math.ceil(job.settings.batch / world.size)
    micro = share
    while True:
        trial = dataclasses.replace(job, settings=dataclasses.replace(job.settings, micro_batch=micro))
        fits = _fits(trial, model, world)
        if not world.largest(int(not fits)):
            return micro
        if micro == 1:
            raise ConfigError("not even one image fits the memory in training: choose a smaller model or --image_size")
        micro = math.ceil(micro / 2)


def _fits(job: Job, model: nn.Module, world: World) -> bool:
    try:
        measure_step(job, model, world, for_seconds=0.0)
        return True
    except (torch.OutOfMemoryError, MemoryError):
        return False
    except RuntimeError as error:
        if "can't allocate memory" in str(error):  # what the CPU's allocator says
            return False
        raise
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
