"""What a run trains on and for how long; nothing here changes while training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vitascope.data.augment import Augment
from vitascope.data.batches import Order
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.models.learned import ALL, Learned
from vitascope.training.objective import Classification, Objective
from vitascope.training.parallel import World
from vitascope.training.train_settings import TrainSettings

JUDGING = 0.04
"""Share of a budget of time that each set the result is judged on may take."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The time of a run that ends by the clock, in seconds."""

    begun: float
    """When it began, by `time.monotonic`; earlier starts of the run count as if they had been just before."""
    total: float
    """From there until everything is written."""
    image: float
    """What judging an image takes, as far as is known beforehand."""
    judged: tuple[int, ...]
    """How many images of each set the result is judged on in this process, after the last step."""
    writing: float
    """What it takes to write the model and the rest of the result."""

    @property
    def end(self) -> float:
        """When the last image has been judged and writing begins, by `time.monotonic`; a little before `latest`."""
        return self.begun + 0.97 * self.total - self.writing

    @property
    def latest(self) -> float:
        """When judging is broken off, and what is left of the images is not counted, so that there is time to write."""
        return self.begun + self.total - self.writing

    def judging(self, image: float) -> float:
        """Seconds that the result's evaluations may take, at so many for an image: a few hundredths of all for each."""
        return sum(min(images * image, JUDGING * self.total) for images in self.judged)


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
    learned: Learned = ALL
    """Which part of the model learns."""
    budget: Budget | None = None
    """The time of a run that ends by the clock; `steps` is then what its schedule is laid out for."""
    kind: Callable[[TrainSettings, Preprocess, int], Objective] = Classification
    """What makes the objective, of settings, preprocessing and the number of classes."""

    @property
    def objective(self) -> Objective:
        """What its steps make smaller, and how it is judged."""
        return self.kind(self.settings, self.preprocess, self.classes)

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

    def transform(self) -> Augment:
        """What becomes of an image that is trained on."""
        return Augment(self.settings.augment, self.preprocess)
