"""The only training loop: pre-training, fine-tuning, sweeps and studies all run through `train`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vitascope.checkpoints.atomic import atomic_file
from vitascope.data.augment import Augment
from vitascope.data.batches import Batch, Order, training_batches
from vitascope.data.mix import mix_batch
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.errors import DivergedError, Stopped
from vitascope.evaluation.evaluate import evaluate
from vitascope.evaluation.metrics import Tally
from vitascope.precision import autocast
from vitascope.training.ema import Ema
from vitascope.training.objective import objective
from vitascope.training.optimizer import clip_gradients, decay_kernels, make_optimizer, set_learning_rate
from vitascope.training.parallel import World
from vitascope.training.record import Record
from vitascope.training.schedule import schedule_of
from vitascope.training.settings import TrainSettings
from vitascope.training.signals import StopFlag
from vitascope.training.state import TrainState, save_state

_STEP, _MIX = 2, 3  # streams of random numbers apart from those of `data.batches`


class Observer(Protocol):
    """Whoever shows how a run is going."""

    def stepped(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """A line of the record has been written."""

    def evaluated(self, step: int, summary: dict[str, float | int]) -> None:
        """The validation set has been counted."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train on and for how long; nothing in it changes while training."""

    settings: TrainSettings
    """How to train, with the precision resolved."""
    steps: int
    """All steps of the run."""
    train: Source
    """Training images."""
    validation: Source | None
    """Images for choosing, or None."""
    preprocess: Preprocess
    """Geometry and normalisation."""
    folder: Path
    """The run's folder: metrics.jsonl, checkpoints/."""

    @property
    def classes(self) -> int:
        """K."""
        return len(self.train.classes)

    def order(self, world: World) -> Order:
        """Which images each step sees in this process."""
        s = self.settings
        return Order(size=len(self.train), batch=s.batch, seed=s.seed, rank=world.rank, processes=world.size)

    def every(self, wanted: int | None) -> int:
        """An interval in steps; None means ten in the run."""
        return wanted or max(math.ceil(self.steps / 10), 1)

    def transform(self) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
        """Augmentation of one image, uint8 (H, W, 3) → (h, w, C)."""
        return _Transform(Augment(self.settings.augment, self.preprocess), self.preprocess)


@dataclass(frozen=True)
class _Transform:
    augment: Augment
    preprocess: Preprocess

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.augment(self.preprocess.read(image), rng)


def new_state(model: nn.Module, settings: TrainSettings) -> TrainState:
    """The state of a run that has not begun."""
    ema = Ema(model, settings.ema) if settings.ema else None
    return TrainState(model, make_optimizer(model, settings), ema)


def train(job: Job, state: TrainState, world: World, observer: Observer | None = None) -> None:
    """Trains `state` from the step it is at to the last, writing record and checkpoints on the way.

    Raises `Stopped` after saving when a signal came, `DivergedError` when the loss is no longer finite (the
    checkpoints stay as they were), ImageError for an unreadable image.
    """
    s, counters = job.settings, state.counters
    checkpoints = job.folder / "checkpoints"
    runner = parallel_model(state.model, s, world)
    batches = training_batches(job.train, job.transform(), job.order(world), counters.step, job.steps, s.workers)
    state.model.train()
    watch = Stopwatch(s.batch)
    record = Record(job.folder, counters.record_bytes, s.tensorboard) if world.first else None
    try:
        with StopFlag() as stop:
            while True:
                if _due(counters.step, job.every(s.eval_every), job.steps) and counters.evaluated < counters.step:
                    _evaluate(job, state, world, stop, record, observer)
                    watch.restart()
                signal_number = world.largest(stop.number)
                if signal_number or _due(counters.step, job.every(s.save_every), job.steps):
                    if world.first:
                        save_state(checkpoints, state, s.keep_checkpoints)
                    world.wait()
                if signal_number:
                    name = Stopped(signal_number, "").signal_name
                    raise Stopped(signal_number, f"{name}: saved at step {counters.step} of {job.steps}")
                if counters.step == job.steps:
                    return
                training_step(job, state, runner, next(batches), world)
                if _due(counters.step, s.log_every, job.steps):
                    _log(job, state, world, watch, record, observer)
    finally:
        if record is not None:
            record.__exit__(None, None, None)


def parallel_model(model: nn.Module, settings: TrainSettings, world: World) -> nn.Module:
    """`model` as the forward pass calls it: compiled if asked for, gradients averaged over the processes."""
    runner: nn.Module = torch.compile(model) if settings.compile else model  # type: ignore[assignment]
    if world.size == 1:
        return runner
    return nn.parallel.DistributedDataParallel(
        runner, device_ids=[world.device.index] if world.device.type == "cuda" else None
    )


def _due(step: int, interval: int, steps: int) -> bool:
    return step > 0 and (step % interval == 0 or step == steps)


def training_step(job: Job, state: TrainState, runner: nn.Module, batch: Batch, world: World) -> None:
    """One optimiser step on this process's share of the images."""
    s, counters = job.settings, state.counters
    rate = schedule_of(s, job.steps)(counters.step)
    set_learning_rate(state.optimizer, rate)
    # Dropout and stochastic depth depend on the step alone, so that a resumed run draws what it would have drawn.
    torch.manual_seed(_seed(_STEP, s.seed, counters.step, world.rank))
    images, labels = (tensor.to(world.device, non_blocking=True) for tensor in batch)
    x = job.preprocess.normalise(images)
    x, labels = mix_batch(x, labels, job.classes, s.augment, (_MIX, s.seed, counters.step, world.rank))
    loss = _gradients(job, runner, x, labels, world)
    norm = clip_gradients(state.model, s.clip)
    if not math.isfinite(float(loss)) or not math.isfinite(float(norm)):
        raise DivergedError(
            f"loss {float(loss)}, gradient norm {float(norm)} at step {counters.step} (learning rate {rate:.3g}): "
            f"the last checkpoint is kept; try a lower --lr, a longer --warmup or --precision float32"
        )
    decay_kernels(state.optimizer)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    if state.ema is not None:
        state.ema.update(state.model, counters.step)
    counters.step += 1
    counters.loss_sum += float(loss)
    counters.loss_steps += 1


def _gradients(job: Job, runner: nn.Module, images: Tensor, labels: Tensor, world: World) -> Tensor:
    """Adds the gradients of the mean loss over this process's images, in micro-batches; returns that loss."""
    s = job.settings
    micro = s.micro_batch if isinstance(s.micro_batch, int) else len(images)
    total = torch.zeros((), device=world.device)
    starts = range(0, len(images), micro)
    for start in starts:
        x, y = images[start : start + micro], labels[start : start + micro]
        last = start == starts[-1]
        # Gradients travel between processes once a step, with the last micro-batch.
        if isinstance(runner, nn.parallel.DistributedDataParallel):
            runner.require_backward_grad_sync = last
        with autocast(s.precision, world.device):
            logits = runner(x)
        loss = objective(logits, y, s.loss, s.label_smoothing) * (len(x) / len(images))
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def _log(
    job: Job, state: TrainState, world: World, watch: Stopwatch, record: Record | None, observer: Observer | None
) -> None:
    counters = state.counters
    loss = float(world.sum(np.array([counters.loss_sum]))[0]) / counters.loss_steps / world.size
    rate = watch.lap(counters.loss_steps)
    counters.loss_sum, counters.loss_steps = 0.0, 0
    if record is not None:
        step = counters.step
        values = {
            "epoch": job.order(world).epoch(step),
            "loss": loss,
            "lr": schedule_of(job.settings, job.steps)(step - 1),
        }
        record.metrics(step, values)
        record.speed(step, rate)
        counters.record_bytes = record.bytes
    if observer is not None:
        observer.stepped(counters.step, job.steps, loss, rate)


def _evaluate(
    job: Job, state: TrainState, world: World, stop: StopFlag, record: Record | None, observer: Observer | None
) -> None:
    """Counts the validation set; a signal in the middle leaves it to be done again after the resume."""
    counters = state.counters
    if job.validation is None:
        counters.evaluated = counters.step
        return
    tally = Tally(job.classes)
    with swapped_weights(state):
        with suppress(_Interrupted):
            tally = evaluate(
                state.model,
                job.validation,
                job.preprocess,
                batch=max(job.settings.batch // world.size, 1),
                device=world.device,
                precision=job.settings.precision,
                rank=world.rank,
                processes=world.size,
                each_batch=lambda done: _raise_if(stop),
            )
        if world.largest(stop.number):
            return
        tally.restore(world.sum(tally.vector()))
        summary = tally.summary()
        counters.evaluated = counters.step
        if tally.top1 > counters.best:
            counters.best, counters.best_step = tally.top1, counters.step
            if job.settings.keep == "best" and world.first:
                with atomic_file(best_weights(job.folder)) as temporary:
                    save_file({n: t.contiguous() for n, t in state.result_weights().items()}, temporary)
    if record is not None:
        record.metrics(counters.step, {"validation": summary})
        counters.record_bytes = record.bytes
    if observer is not None:
        observer.evaluated(counters.step, summary)


def best_weights(folder: Path) -> Path:
    """Where the weights of the best validation are kept during a run."""
    return folder / "checkpoints" / "best.safetensors"


class swapped_weights:
    """Within it the model carries the weights that would be the result (the moving average, where there is one)."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.trained: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        if self.state.ema is not None:
            self.trained = {n: p.detach().clone() for n, p in self.state.model.named_parameters()}
            copy_weights(self.state.model, self.state.ema.tensors)

    def __exit__(self, *_: object) -> None:
        if self.trained:
            copy_weights(self.state.model, self.trained)


@torch.no_grad()
def copy_weights(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Writes `tensors` into the parameters of the same names."""
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


class _Interrupted(Exception):
    pass


def _raise_if(stop: StopFlag) -> None:
    if stop.number:
        raise _Interrupted


class Stopwatch:
    """Images per second since the last lap."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.restart()

    def restart(self) -> None:
        """Begins a lap: what came before does not count."""
        self.start = time.perf_counter()

    def lap(self, steps: int) -> float:
        """Rate over `steps` since the lap began; begins the next."""
        rate = steps * self.batch / max(time.perf_counter() - self.start, 1e-9)
        self.restart()
        return rate


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
