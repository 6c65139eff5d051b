"""The clock of a run: how long the steps take, apart from evaluations and saving."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


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


class Stopwatch:
    """Measures laps of steps of `batch` images; the first begins now."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self._begin()

    def _begin(self) -> None:
        self._start = time.perf_counter()
        self._images, self._training = 0, 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one training step."""
        start = time.perf_counter()
        yield
        self._training += time.perf_counter() - start
        self._images += self.batch

    def so_far(self) -> Lap:
        """The lap up to now."""
        return Lap(images=self._images, training=self._training, wall=time.perf_counter() - self._start)

    def lap(self) -> Lap:
        """The lap that ends now; the next begins."""
        lap = self.so_far()
        self._begin()
        return lap
