"""The only training loop: pre-training, fine-tuning, sweeps and studies all run through `train`."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np

from vitascope.checkpoints.atomic import atomic_file
from vitascope.checkpoints.safetensors_file import write_safetensors
from vitascope.data.batches import training_batches
from vitascope.errors import Stopped
from vitascope.evaluation.evaluate import evaluate
from vitascope.evaluation.metrics import Tally
from vitascope.training.job import Job
from vitascope.training.observer import Observer
from vitascope.training.pace import Pace
from vitascope.training.parallel import World
from vitascope.training.record import Record
from vitascope.training.signals import StopFlag
from vitascope.training.state import Counters, TrainState, result_in_model, save_state
from vitascope.training.step import parallel_model, training_step
from vitascope.training.stopwatch import Stopwatch

Summary = dict[str, float | int]


def train(job: Job, state: TrainState, world: World, observer: Observer | None = None) -> Summary | None:
    """Trains `state` from the step it is at to the last, writing record and checkpoints on the way.

    Returns the figures of the last step's evaluation, None where it was not made now. Raises `Stopped` after saving
    when a signal came, `DivergedError` when the loss is no longer finite (the checkpoints stay as they were),
    ImageError for an unreadable image.
    """
    s, counters = job.settings, state.counters
    checkpoints = job.folder / "checkpoints"
    runner = parallel_model(state.model, s, world)
    last = 2**40 if job.budget else job.steps
    batches = training_batches(job.train, job.transform(), job.order(world), counters.step, last, s.workers)
    state.model.train()
    observer = observer or Observer()
    observer.begun(counters.step, job.steps)
    watch, pace = Stopwatch(s.batch), Pace(job, counters, world)
    record = None
    if world.first:
        record = Record(job.folder, counters.step, counters.evaluated, counters.record_lines, s.tensorboard)
    begun, summary = counters.step, None
    with (
        closing(batches),
        record or nullcontext(),
        StopFlag(hurry=True) as stop,
        _last_lap(state, watch, record),
    ):
        while True:
            pace.look()
            stop.hurry = counters.step == begun
            if pace.logs():
                _log(job, state, world, watch, record, pace)
            if counters.evaluated < counters.step and pace.evaluates():
                summary = _evaluate(job, state, world, stop, record, observer, pace)
            signal_number = world.largest(stop.number)
            if signal_number or pace.saves():
                # What one process writes is read by all: until the next line their losses are shared equally.
                counters.loss_sum = _mean_loss_sum(counters, world)
                with pace.spending("saving"):
                    if record is not None:
                        counters.record_lines = record.forced()
                        save_state(checkpoints, state, s.keep_checkpoints)
                    world.wait()
            if signal_number:
                name = signal.Signals(signal_number).name
                raise Stopped(signal_number, f"{name}: saved at step {counters.step} of {pace.steps}")
            if pace.ended:
                return summary
            with watch.step():
                training_step(job, state, runner, next(batches), world, stop)
            if counters.loss_steps:  # none where the first was left undone
                loss = counters.loss_sum / counters.loss_steps
                observer.stepped(counters.step, pace.steps, loss, watch.so_far().rate)


@contextmanager
def _last_lap(state: TrainState, watch: Stopwatch, record: Record | None) -> Iterator[None]:
    """However training ends, the time since the last line is written down."""
    try:
        yield
    finally:
        if record is not None:
            record.speed(state.counters.step, watch.lap())


def _mean_loss_sum(counters: Counters, world: World) -> float:
    return float(world.sum(np.array([counters.loss_sum]))[0]) / world.size


def _log(job: Job, state: TrainState, world: World, watch: Stopwatch, record: Record | None, pace: Pace) -> None:
    counters = state.counters
    loss = _mean_loss_sum(counters, world) / counters.loss_steps
    lap = watch.lap()
    counters.loss_sum, counters.loss_steps = 0.0, 0
    if record is not None:
        step = counters.step
        values = {
            "epoch": job.order(world).epoch(step),
            "loss": loss,
            "lr": pace.rate,
        }
        record.metrics(step, values)
        record.speed(step, lap)


def _evaluate(
    job: Job, state: TrainState, world: World, stop: StopFlag, record: Record | None, observer: Observer, pace: Pace
) -> Summary | None:
    """Counts the validation set; a signal in the middle leaves it to be done again after the resume."""
    counters = state.counters
    if job.validation is None:
        counters.evaluated = counters.step
        return None
    tally = Tally(job.classes)
    share = math.ceil(len(job.validation) / world.size)

    def each_batch(done: int) -> None:
        if stop.number:
            raise _Interrupted
        observer.counted("validation", done, share)

    with result_in_model(state):
        with suppress(_Interrupted), pace.spending("evaluating"):
            tally = evaluate(
                state.model,
                job.validation,
                job.preprocess,
                batch=max(job.settings.batch // world.size, 1),
                device=world.device,
                precision=job.settings.precision,
                rank=world.rank,
                processes=world.size,
                workers=job.settings.workers,
                each_batch=each_batch,
                until=pace.until(),
            )
        if world.largest(stop.number):
            return None
        pace.judged(tally.images)
        tally.restore(world.sum(tally.vector()))
        summary = tally.summary()
        counters.evaluated = counters.step
        if tally.top1 > counters.best:
            counters.best, counters.best_step = tally.top1, counters.step
            if job.settings.keep == "best" and world.first:
                with atomic_file(best_weights(job.folder)) as temporary:
                    counters.best_sha256 = write_safetensors(temporary, state.result_weights(), {})
    if record is not None:
        record.metrics(counters.step, {"validation": summary})
    observer.evaluated(counters.step, summary)
    return summary


def best_weights(folder: Path) -> Path:
    """Where the weights of the best validation are kept during a run."""
    return folder / "checkpoints" / "best.safetensors"


class _Interrupted(Exception):
    pass
