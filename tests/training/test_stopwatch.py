"""Laps: steps apart from the time around them."""

from __future__ import annotations

import time

import pytest

from vitascope.training.stopwatch import Lap, Stopwatch


def test_a_lap_tells_steps_from_what_is_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    watch = Stopwatch(batch=6)
    for _ in range(2):
        with watch.step():
            now += 2.0
        now += 10.0
    first, empty = watch.lap(), watch.lap()
    assert first == Lap(images=12, training=4.0, wall=24.0)
    assert first.rate == 3.0
    assert (empty, empty.rate) == (Lap(images=0, training=0.0, wall=0.0), 0.0)
