"""A run by the clock: whatever the machine's speed does, the schedule ends as the time does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny import SIDE, source
from vitascope.data.preprocess import Preprocess
from vitascope.training.job import Budget, Job
from vitascope.training.pace import Lap, Pace
from vitascope.training.parallel import World
from vitascope.training.state import Counters
from vitascope.training.train_settings import TrainSettings

TOTAL = 100.0


class Run:
    """The loop's use of a pace, on a clock of its own: `step` and `image` are seconds, of the time."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        step: Callable[[float], float],
        image: Callable[[float], float] = lambda now: 0.0,
        *,
        guess: float = 0.0,
        counters: Counters | None = None,
        begun: float = 0.0,
        planned: int = 100,
        **settings: Any,
    ) -> None:
        self.now, self.counters = begun, counters or Counters()
        self.evaluated: list[int] = []
        self.judging = 0.0
        self.saved: list[int] = []
        self.places: list[float] = []
        patch.setattr(time, "monotonic", lambda: self.now)
        budget = Budget(begun=begun - self.counters.seconds, total=TOTAL, image=guess, judged=(9, 20), writing=1.0)
        self.job = Job(
            settings=TrainSettings(lr=1.0, warmup=0.1, decay="linear", **settings),
            steps=planned,
            train=source(),
            validation=source(9),
            preprocess=Preprocess(size=(SIDE, SIDE)),
            folder=Path("run"),
            budget=budget,
        )
        self.pace = Pace(self.job, self.counters, World())
        self.step, self.image = step, image

    def go(self, until: float = float("inf")) -> Run:
        counters, pace = self.counters, self.pace
        while True:
            pace.read_clock()
            self.places.append(counters.position)
            if pace.evaluates():
                with pace.spending("evaluating"):
                    took = min(9 * self.image(self.now), pace.until() - self.now)
                    images = max(round(took / max(self.image(self.now), 1e-9)), 1)
                    self.now += took
                pace.judged(images)
                self.judging += took
                self.evaluated.append(counters.step)
            if pace.saves():
                with pace.spending("saving"):
                    self.now += 0.1
                self.saved.append(counters.step)
            if pace.ended or self.now >= until:
                return self
            with pace.spending("training"):
                self.now += self.step(self.now)
            counters.step += 1


SPEEDS: dict[str, Callable[[float], float]] = {
    "as planned": lambda now: 0.9,
    "three times as fast": lambda now: 0.3,
    "three times as slow": lambda now: 2.7,
    "slow in the middle": lambda now: 2.7 if 30 < now < 60 else 0.9,
    "slow at the end": lambda now: 0.9 if now < 80 else 2.7,
    "alternating": lambda now: 0.3 if int(now) % 7 else 2.4,
}


@pytest.mark.parametrize("speed", SPEEDS)
def test_time_and_schedule_end_together_at_any_speed(monkeypatch: pytest.MonkeyPatch, speed: str) -> None:
    run = Run(monkeypatch, SPEEDS[speed], lambda now: 0.1).go()
    written = run.now + 20 * 0.1 + run.job.budget.writing  # type: ignore[union-attr]
    assert 0.95 * TOTAL < written <= 1.01 * TOTAL
    assert run.places == sorted(run.places)
    assert run.places[0] == 0.0
    assert 95 < run.places[-1] <= 100.01
    assert run.pace.rate < 0.06  # of a peak of 1
    assert run.pace.steps == run.counters.step


def test_at_an_even_speed_the_schedule_is_that_of_a_run_of_so_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, SPEEDS["as planned"], save_every=1000, eval_every=1000).go()
    steps = run.counters.step
    assert run.places == pytest.approx([100 * step / steps for step in range(steps + 1)], abs=1.0)


@pytest.mark.parametrize("image", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("guess", [0.001, 0.5])
def test_judging_takes_a_tenth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch, image: float, guess: float) -> None:
    run = Run(monkeypatch, SPEEDS["as planned"], lambda now: image, guess=guess).go()
    last = min(20 * image, run.pace.until() - run.now)
    assert run.judging + last <= 0.1 * TOTAL
    assert run.evaluated[-1] == run.counters.step
    assert len(run.evaluated) >= (8 if image == guess == 0.001 else 1)


def test_what_was_asked_for_is_evaluated_whatever_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, SPEEDS["as planned"], lambda now: 0.5, guess=0.5, eval_every=20).go()
    assert run.evaluated[:3] == [20, 40, 60]


def test_a_resumed_run_uses_what_was_left_and_goes_on_where_the_schedule_was(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Run(monkeypatch, SPEEDS["as planned"]).go(until=40.0)
    place, seconds = first.counters.position, first.counters.seconds
    again = Run(monkeypatch, SPEEDS["as planned"], counters=first.counters, begun=5000.0)
    again.now += 3.0  # imports and reading
    again.go()
    assert again.places[0] == place
    assert again.now - 5000.0 + seconds == pytest.approx(97.0, abs=1.5)
    assert again.places[-1] == pytest.approx(100.0, abs=1.5)


def test_a_run_of_so_many_steps_knows_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, SPEEDS["alternating"], lambda now: 5.0, planned=12, eval_every=5, save_every=6)
    object.__setattr__(run.job, "budget", None)
    run.go()
    assert run.places == list(range(13))
    assert (run.evaluated, run.saved) == ([5, 10, 12], [6, 12])
    assert run.counters.seconds == run.counters.ahead == 0.0
    assert run.pace.until() == float("inf")


def test_a_lap_tells_steps_from_what_is_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, lambda now: 2.0, lambda now: 10.0 / 9, guess=2.0, eval_every=1, batch=6, save_every=1000)
    run.go(until=24.0)
    first, empty = run.pace.next_lap(), run.pace.lap()
    assert first == Lap(images=12, training=4.0, wall=24.0)
    assert first.rate == 3.0
    assert (empty, empty.rate) == (Lap(images=0, training=0.0, wall=0.0), 0.0)


def test_all_processes_are_where_the_first_ones_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    monkeypatch.setattr(World, "first_says", lambda self, value: said.append(value) or value)  # type: ignore[func-returns-value]
    first = Run(monkeypatch, SPEEDS["alternating"]).go()
    heard = iter(said)
    monkeypatch.setattr(World, "first_says", lambda self, value: next(heard))
    other = Run(monkeypatch, SPEEDS["as planned"], lambda now: 0.3, begun=7000.0).go()  # another machine's clock
    assert (other.places, other.counters) == (first.places, first.counters)
    assert other.pace.rate == first.pace.rate
