"""Measuring before training: how long a step takes, how many steps fit a time, how many images fit the memory."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
import re
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vitascope.data.batches import training_batches
from vitascope.data.source import Source
from vitascope.errors import ConfigError, Stopped
from vitascope.evaluation.evaluate import evaluate
from vitascope.models.memory import training_memory
from vitascope.models.vit import ViT
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.settings import TrainSettings
from vitascope.training.signals import StopFlag
from vitascope.training.state import new_state
from vitascope.training.step import parallel_model, training_step

_CGROUP = Path("/sys/fs/cgroup")  # a container's own, where it has version 2
_MARGIN = 0.92
"""Share of a time budget that is planned for: what was measured varies, and the result is written afterwards."""
_EVALUATIONS = 10
"""Evaluations on the way in a run with the default interval."""


def measure_run(job: Job, model: nn.Module, world: World, budget: float, test: Source | None = None) -> int:
    """Steps that fit into `budget` seconds, evaluations included; measured on a copy of `model` in 5 % of the time.

    `test` is what the result is judged on besides the validation set. Raises `ConfigError` when no step fits.
    """
    begin = time.perf_counter()
    step = _mean_step(job, model, world, for_seconds=max(0.05 * budget, 1.0))
    validation, final = 0.0, 0.0
    for source in (job.validation, test):
        if source is not None:
            each = measure_evaluation(job, model, world, source, min(len(source), 2 * job.settings.batch))
            took = each * len(source) / world.size
            validation, final = (took if source is job.validation else validation), final + took
    left = _MARGIN * budget - (time.perf_counter() - begin) - final
    every = job.settings.eval_every
    steps = left / (step + validation / every) if every else (left - _EVALUATIONS * validation) / step
    steps = int(world.first_says(steps))
    if steps < 1:
        raise ConfigError(
            f"time_budget {budget:.0f}s: a step takes {step:.2f}s and the last evaluation {final:.0f}s, so none fits; "
            "give more time, a smaller --batch or a smaller model"
        )
    return steps


def _mean_step(job: Job, model: nn.Module, world: World, for_seconds: float) -> float:
    """Seconds per training step over a run whose first part may drop tokens and whose second does not."""
    s = job.settings
    part = s.drop_tokens_for if s.drop_tokens else 0.0
    mean = 0.0
    for share, dropped in ((part, s.drop_tokens), (1 - part, 0.0)):
        if share:
            trial = dataclasses.replace(job, settings=dataclasses.replace(s, drop_tokens=dropped, drop_tokens_for=1.0))
            mean += share * measure_step(trial, model, world, share * for_seconds, workers=s.workers)
    return mean


def measure_step(job: Job, model: nn.Module, world: World, for_seconds: float, workers: int = 0) -> float:
    """Seconds per training step, from real steps on a copy of `model`."""
    job = dataclasses.replace(job, steps=10**9)  # without an end, so that all are of a run's first part
    state = new_state(copy.deepcopy(model), job.settings)
    state.model.train()
    runner = parallel_model(state.model, job.settings, world)
    batches = training_batches(job.train, job.transform(), job.order(world), 0, job.steps, workers)
    # The first step allocates and perhaps compiles; while it does, each worker prepares two more batches.
    uncounted = 1 + 2 * workers
    times: list[float] = []
    begin = time.perf_counter()
    with closing(batches), StopFlag() as stop:
        while not world.largest(int(len(times) >= uncounted + 2 and time.perf_counter() - begin >= for_seconds)):
            start = time.perf_counter()
            training_step(job, state, runner, next(batches), world)
            times.append(time.perf_counter() - start)
            number = world.largest(stop.number)
            if number:
                raise Stopped(number, "stopped before the first step: nothing to save", "start again")
    # Workers deliver in bursts, so only the mean tells their rate; without them other work's interference is left out.
    typical = np.mean if workers else np.median
    return world.first_says(float(typical(times[uncounted:])))


def measure_evaluation(job: Job, model: nn.Module, world: World, source: Source, images: int) -> float:
    """Seconds per image in evaluation, from the first `images` of `source`."""
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
            source,
            job.preprocess,
            batch=job.settings.batch,
            device=world.device,
            precision=job.settings.precision,
            workers=job.settings.workers,
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
        # Where all tokens come back for the last steps, it is those that have to fit.
        dropped = job.settings.drop_tokens if job.settings.drop_tokens_for == 1 else 0.0
        settings = dataclasses.replace(job.settings, batch=share, micro_batch=micro, drop_tokens=dropped)
        trial = dataclasses.replace(job, settings=settings)
        # Each process alone: one without memory would leave the others waiting for its gradients.
        fits = _fits(trial, model, World(device=world.device), free_memory() / world.size)
        if not world.largest(int(not fits)):
            return micro
        if micro == 1:
            raise ConfigError("not even one image fits the memory in training: choose a smaller model or --image_size")
        micro = math.ceil(micro / 2)


def _fits(job: Job, model: nn.Module, world: World, free: float) -> bool:
    if world.device.type == "cpu" and _predicted(job.settings, model) > free:
        return False  # not tried: Linux gives what it does not have, and kills whoever uses it
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


def _predicted(settings: TrainSettings, model: nn.Module) -> float:
    """Bytes of a trial, which has a copy of the weights; 0 where there is no formula."""
    if not isinstance(model, ViT) or model.stem is not None:
        return 0.0
    assert isinstance(settings.micro_batch, int)
    return training_memory(
        model.config,
        settings.micro_batch,
        precision=settings.precision,
        optimizer=settings.optimizer,
        ema=settings.ema > 0,
        checkpoint_activations=settings.checkpoint_activations,
        accumulated=settings.micro_batch < settings.batch,
        drop_tokens=settings.drop_tokens,
    ).peak


def free_memory() -> float:
    """Bytes that the system, or the container, says can be taken; infinite where neither says."""
    free = math.inf
    with suppress(OSError):  # no /proc outside Linux
        found = re.search(r"^MemAvailable:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
        free = int(found[1]) * 1024 if found else math.inf
    with suppress(OSError, ValueError):  # no limit is the word "max"
        limit, taken = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = re.search(r"^inactive_file (\d+)$", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
        free = min(free, max(limit - taken + (int(cached[1]) if cached else 0), 0))
    return free
