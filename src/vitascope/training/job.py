"""What a run trains on and for how long; nothing here changes while training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitascope.data.augment import Augment
from vitascope.data.batches import Order
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.training.parallel import World
from vitascope.training.settings import TrainSettings


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
