"""Where a run stands: counted in steps, or by the clock where it was given a time; and when something is due."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vitascope.training.job import JUDGING, Job
from vitascope.training.parallel import World
from vitascope.training.schedule import learning_rate
from vitascope.training.state import Counters


@dataclass(frozen=True, kw_only=True)
class Lap:
    """What was done between two lines of the record, and how long it took."""

    images: int
    """Images trained on, over all processes."""
    training: float
    """Seconds in training steps, the wait for their images included."""
    wall: float
    """Seconds on the clock, evaluations and saving included."""

    @property
    def rate(self) -> float:
        """Images per second of training."""
        return self.images / max(self.training, 1e-9)


_EVALUATING = 0.02
"""Share of a budget of time for evaluations on the way."""
_ROUND = 0.6
"""Share of a step for which there must be time, or the run ends before it: rather too early than too late."""
_SAVING = 0.05
"""Share of a budget for checkpoints on the way."""


class Pace:
    """The place in the schedule, the end, what is due, and what time was spent on; steps alone tell a run of so many.

    By the clock, each step moves the schedule by the share of what is left of it that the last one took of what was
    left of the time: however the machine's speed changes, the rate comes to its end as the time does.
    """

    def __init__(self, job: Job, counters: Counters, world: World) -> None:
        self.job, self.counters, self.world = job, counters, world
        self.ended = False
        self.rate = 0.0
        """Learning rate of the last step."""
        self._image = job.budget.image if job.budget else 0.0
        self._spent = {"training": 0.0, "evaluating": 0.0, "saving": 0.0}
        self._last = dict(self._spent)
        self._read_at = self._step = 0.0
        self._lap = (counters.step, 0.0, time.monotonic())

    def read_clock(self) -> None:
        """Between two steps: moves the schedule, or ends the run; in all processes as the first one's clock says."""
        budget, counters, steps = self.job.budget, self.counters, self.job.steps
        done = counters.position - 1
        self.rate = learning_rate(self.job.settings, steps, max(done, 0.0))
        if budget is None:
            self.ended = counters.step == steps or self.out_of_patience()
            return
        now, ahead = time.monotonic(), counters.ahead
        left = budget.end - budget.judging(self._image) - now
        if self._read_at:
            passed, took = now - self._read_at, self._last["training"]
            ahead = done + (steps - done) * min(passed / max(passed + left, 1e-9), 1.0) - counters.step
            self._step = (self._step + took) / 2 if self._step else took
        self._read_at = now
        ended = (counters.step > 0 and left < _ROUND * self._step) or self.out_of_patience()
        counters.ahead, counters.seconds, self.ended = self.world.first_says((ahead, now - budget.begun, ended))

    def evaluates(self) -> bool:
        """Whether the validation set is to be counted now."""
        chosen = self.job.settings.eval_every
        images = -(-len(self.job.validation or ()) // self.world.size)
        return self._due(chosen, "evaluating", images * self._image, _EVALUATING)

    def out_of_patience(self) -> bool:
        """Whether the validation has been worse for so long that the run ends."""
        patience = self.job.settings.patience
        return patience is not None and self.counters.worse >= patience

    def saves(self) -> bool:
        """Whether a checkpoint is to be written now."""
        return self._due(self.job.settings.save_every, "saving", self._last["saving"], _SAVING)

    def logs(self) -> bool:
        """Whether a line of the record is to be written now."""
        return self.counters.loss_steps > 0 and (self.ended or self.counters.step % self.job.settings.log_every == 0)

    def _due(self, chosen: int | None, what: str, takes: float, share: float) -> bool:
        step, budget = self.counters.step, self.job.budget
        if step == 0 or self.ended or step % self.job.every(chosen):
            return step > 0 and self.ended
        afforded = budget is None or chosen or self._spent[what] + takes <= share * self.counters.seconds
        return bool(self.world.largest(int(bool(afforded))))

    @contextmanager
    def spending(self, what: str) -> Iterator[None]:
        """Around "training", a step of it, "evaluating" and "saving"."""
        start = time.monotonic()
        yield
        self._last[what] = time.monotonic() - start
        self._spent[what] += self._last[what]

    def lap(self) -> Lap:
        """What was done since the last `next_lap`."""
        step, training, begun = self._lap
        images = (self.counters.step - step) * self.job.settings.batch
        return Lap(images=images, training=self._spent["training"] - training, wall=time.monotonic() - begun)

    def next_lap(self) -> Lap:
        """The lap that ends now; the next begins."""
        lap = self.lap()
        self._lap = (self.counters.step, self._spent["training"], time.monotonic())
        return lap

    def until(self) -> float:
        """When an evaluation that begins now is broken off, by `time.monotonic`."""
        budget = self.job.budget
        if budget is None or (self.job.settings.eval_every and not self.ended):
            return math.inf
        return time.monotonic() + (JUDGING if self.ended else _EVALUATING) * budget.total

    def judged(self, images: int) -> None:
        """So many images were counted by the evaluation that is just over: the next will be as fast."""
        self._image = self._last["evaluating"] / max(images, 1)

    @property
    def steps(self) -> int:
        """All steps of the run, as far as can be told."""
        counters, steps = self.counters, self.job.steps
        if self.ended:
            return counters.step
        if self.job.budget is None:
            return steps
        return max(round(counters.step * steps / counters.position), counters.step) if counters.step else steps
