"""The only training loop: pre-training, fine-tuning, sweeps and studies all run through `train`."""

from __future__ import annotations

import math
import signal
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np

from vitascope.checkpoints.output import atomic_file
from vitascope.checkpoints.tensor_file import write_safetensors
from vitascope.data.batches import training_batches
from vitascope.errors import Stopped
from vitascope.training.job import Job
from vitascope.training.objective import Counts, evaluate
from vitascope.training.observer import Observer
from vitascope.training.pace import Pace
from vitascope.training.parallel import World
from vitascope.training.record import Record
from vitascope.training.signals import StopFlag
from vitascope.training.state import TrainState, result_in_model, save_state
from vitascope.training.step import compiled_and_shared, training_step


def train(job: Job, state: TrainState, world: World, observer: Observer | None = None) -> Counts | None:
    """Trains `state` from the step it is at to the last, writing record and checkpoints on the way.

    Returns what the last step's evaluation counted, None where it was not made now. Raises `Stopped` after saving
    when a signal came, `DivergedError` when the loss is no longer finite (the checkpoints stay as they were),
    ImageError for an unreadable image.
    """
    s, counters = job.settings, state.counters
    runner = compiled_and_shared(state.model, s, world)
    last = 2**40 if job.budget else job.steps
    batches = training_batches(job.train, job.transform(), job.order(world), counters.step, last, s.workers)
    state.model.train()
    with ExitStack() as ending:
        ending.enter_context(closing(batches))
        run = _Run(job, state, world, observer or Observer(), ending)
        run.observer.begun(counters.step, job.steps)
        begun, counted, pace = counters.step, None, run.pace
        while True:
            pace.read_clock()
            run.stop.hurry = counters.step == begun
            if pace.logs():
                run.log()
            if counters.evaluated < counters.step and pace.evaluates():
                counted = run.evaluate()
                if pace.out_of_patience():
                    pace.ended = True
                    if pace.logs():
                        run.log()
            signal_number = world.largest(run.stop.number)
            if signal_number or pace.saves():
                run.save()
            if signal_number:
                name = signal.Signals(signal_number).name
                raise Stopped(signal_number, f"{name}: saved at step {counters.step} of {pace.steps}")
            if pace.ended:
                return counted
            with pace.spending("training"):
                training_step(job, state, runner, next(batches), world, run.stop)
            if counters.loss_steps:  # none where the first was left undone
                loss = counters.loss_sum / counters.loss_steps
                run.observer.stepped(counters.step, pace.steps, loss, pace.lap().rate)


class _Run:
    """What is done between two steps; `ending` is what the run closes in the end, however it ends."""

    def __init__(self, job: Job, state: TrainState, world: World, observer: Observer, ending: ExitStack) -> None:
        self.job, self.state, self.world, self.observer = job, state, world, observer
        self.counters = c = state.counters
        self.pace = Pace(job, c, world)
        self.record: Record | None = None
        if world.first:
            self.record = record = ending.enter_context(
                Record(job.folder, c.step, c.evaluated, c.record_lines, job.settings.tensorboard)
            )
            ending.callback(lambda: record.speed(c.step, self.pace.next_lap()))  # the time since the last line
        self.stop = ending.enter_context(StopFlag(hurry=True))

    def log(self) -> None:
        """A line of the record; the losses since the last are counted anew."""
        c, loss = self.counters, self._mean_loss_sum() / self.counters.loss_steps
        c.loss_sum, c.loss_steps = 0.0, 0
        lap = self.pace.next_lap()
        if self.record is not None:
            epoch = self.job.order(self.world).epoch(c.step)
            self.record.metrics(c.step, {"epoch": epoch, "loss": loss, "lr": self.pace.rate})
            self.record.speed(c.step, lap)

    def save(self) -> None:
        """A checkpoint, written by the first process."""
        # What one process writes is read by all: until the next line their losses are shared equally.
        self.counters.loss_sum = self._mean_loss_sum()
        with self.pace.spending("saving"):
            if self.record is not None:
                self.counters.record_lines = self.record.forced()
                save_state(self.job.folder / "checkpoints", self.state, self.job.settings.keep_checkpoints)
            self.world.wait()

    def evaluate(self) -> Counts | None:
        """Counts the validation set; a signal in the middle leaves it to be done again after the resume."""
        job, world, counters = self.job, self.world, self.counters
        if job.validation is None:
            counters.evaluated = counters.step
            return None
        objective = job.objective
        tally = objective.tally()
        share = math.ceil(len(job.validation) / world.size)

        def each_batch(done: int) -> None:
            if self.stop.number:
                raise _Interrupted
            self.observer.counted("validation", done, share)

        with result_in_model(self.state):
            with suppress(_Interrupted), self.pace.spending("evaluating"):
                tally = evaluate(
                    objective,
                    self.state.model,
                    job.validation,
                    world,
                    batch=max(job.settings.batch // world.size, 1),
                    workers=job.settings.workers,
                    each_batch=each_batch,
                    until=self.pace.until(),
                )
            if world.largest(self.stop.number):
                return None
            self.pace.judged(tally.images)
            tally.over(world)
            summary = tally.summary()
            counters.evaluated = counters.step
            score = -float(summary["loss"]) if job.settings.best_by == "loss" else tally.score
            counters.worse += 1
            if counters.best_step < 0 or score > counters.best:
                counters.best, counters.best_step, counters.worse = score, counters.step, 0
                if job.settings.keep == "best" and world.first:
                    with atomic_file(best_weights(job.folder)) as temporary:
                        counters.best_sha256 = write_safetensors(temporary, self.state.result_weights(), {})
        if self.record is not None:
            self.record.metrics(counters.step, {"validation": summary})
        self.observer.evaluated(counters.step, summary)
        return tally

    def _mean_loss_sum(self) -> float:
        return float(self.world.sum(np.array([self.counters.loss_sum]))[0]) / self.world.size


def best_weights(folder: Path) -> Path:
    """Where the weights of the best validation are kept during a run."""
    return folder / "checkpoints" / "best.safetensors"


class _Interrupted(Exception):
    pass
