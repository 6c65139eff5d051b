"""Learning rates: pinned numbers, and nothing but the step decides them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vitascope.training.schedule import dropped_share, learning_rate, warmup_steps
from vitascope.training.train_settings import TrainSettings


def rates(decay: Any, warmup: int = 4, steps: int = 12, end: float = 0.0) -> list[float]:
    settings = TrainSettings(lr=0.8, warmup=float(warmup), decay=decay, end_lr=end)
    return [learning_rate(settings, steps, step) for step in range(steps + 1)]


def test_warmup_is_linear_and_its_first_step_learns_already() -> None:
    assert rates("cosine")[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates("linear")[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates("constant")[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_cosine_falls_as_half_a_wave_to_the_end() -> None:
    wave = [0.4 * (1 + math.cos(math.pi * i / 8)) for i in range(9)]
    assert rates("cosine")[4:] == pytest.approx(wave)
    assert rates("cosine")[8] == pytest.approx(0.4)  # half the peak, half-way
    assert rates("cosine", end=0.1)[-1] == pytest.approx(0.1)


def test_linear_falls_evenly_to_the_end() -> None:
    assert rates("linear")[4:] == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    assert rates("linear", end=0.4)[4::4] == pytest.approx([0.8, 0.6, 0.4])


def test_stairs_fall_to_a_tenth_three_times() -> None:
    s = TrainSettings(lr=1.0, warmup=2, decay="stairs")
    found = [learning_rate(s, 10, step) for step in range(10)]
    assert found == pytest.approx([0.5, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


def test_constant_stays() -> None:
    assert rates("constant")[4:] == [0.8] * 9


def test_without_warmup_the_first_step_has_the_peak() -> None:
    assert rates("cosine", warmup=0)[0] == 0.8


def test_the_rate_depends_on_the_step_alone() -> None:
    settings = TrainSettings(lr=0.8, warmup=0.1)
    forwards = [learning_rate(settings, 100, step) for step in range(100)]
    assert [learning_rate(settings, 100, step) for step in reversed(range(100))] == forwards[::-1]


@pytest.mark.parametrize(("warmup", "steps"), [(0.05, 50), (0.25, 250), (0.0, 0), (1.0, 1), (300.0, 300)])
def test_warmup_below_one_is_a_share_of_the_steps(warmup: float, steps: int) -> None:
    assert warmup_steps(TrainSettings(steps=1000, warmup=warmup), 1000) == steps


def test_a_warmup_in_steps_is_half_of_the_run_at_most() -> None:
    settings = TrainSettings(steps=10, warmup=500.0, lr=1.0)
    found = [learning_rate(settings, 10, step) for step in range(10)]
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[5:] == pytest.approx([0.5 * (1 + math.cos(math.pi * i / 5)) for i in range(5)])


def test_between_two_steps_the_rate_is_between_theirs() -> None:
    settings = TrainSettings(lr=0.8, warmup=4.0, decay="linear")
    assert learning_rate(settings, 12, 2.5) == pytest.approx(0.7)
    assert learning_rate(settings, 12, 5.5) == pytest.approx(0.65)


def test_tokens_are_dropped_in_the_first_part_of_the_steps() -> None:
    settings = TrainSettings(drop_tokens=0.5, drop_tokens_for=0.6)
    assert [dropped_share(settings, step, 5) for step in range(5)] == [0.5, 0.5, 0.5, 0.0, 0.0]
    assert dropped_share(TrainSettings(drop_tokens=0.5), 4, 5) == 0.5
    assert dropped_share(TrainSettings(), 0, 5) == 0.0
