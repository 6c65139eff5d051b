"""Evaluation of a model on a source: every image is counted once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from vitascope.data.batches import evaluation_batches
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Source
from vitascope.evaluation.metrics import Tally
from vitascope.precision import autocast


@torch.no_grad()
def evaluate(
    model: nn.Module,
    source: Source,
    preprocess: Preprocess,
    *,
    batch: int = 64,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    each_batch: Callable[[int], None] | None = None,
    until: float = math.inf,
    skip_unreadable: bool = False,
) -> Tally:
    """Counts `model`'s predictions on this process's share of `source`; the model's mode is left as it was.

    `workers` processes besides this one read the images. `each_batch` is told how many images are done and may raise
    to stop; what cannot be done `until` then, by `time.monotonic`, is not counted. Raises ImageError for an unreadable
    image, unless those are to be left out.
    """
    device = torch.device(device)
    tally = Tally(len(source.classes))
    was_training = model.training
    model.eval()
    done, begun = 0, time.monotonic()
    batches = evaluation_batches(source, Geometry(preprocess), batch, rank, processes, workers, skip_unreadable)
    try:
        with closing(batches):
            for images, labels in batches:
                if not len(labels):
                    continue
                with autocast(precision, device):
                    logits = model(preprocess.normalise(images.to(device)))
                tally.add(logits, labels)
                if each_batch is not None:
                    each_batch(tally.images)
                done, now = done + 1, time.monotonic()
                if now + (now - begun) / done > until:
                    break
    finally:
        model.train(was_training)
    return tally


@dataclass(frozen=True)
class Geometry:
    """Resizing alone, which workers do; a class of its own, because they may have to be sent it."""

    preprocess: Preprocess
    """Of which normalising is left to the device."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.preprocess.resize(self.preprocess.read(image))
