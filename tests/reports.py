"""What a run's page is made of, without a run: random answers to random photographs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tiny_checkpoint import TINY, checkpoint
from vitascope.evaluation.answers import Answers
from vitascope.evaluation.metrics import Tally
from vitascope.reports.reported import Judged, RunReport


def picture(place: int) -> np.ndarray:
    """A photograph of a phone, small for a test; its red tells its place."""
    image = np.random.default_rng(place).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    image[..., 0] = place % 256
    return image


def report(classes: int, images: int, **changes: Any) -> RunReport:
    """Of answers to so many images, with any field changed, or the `picture` of a place, or the model's `config`."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, images)
    logits = torch.from_numpy(rng.normal(size=(images, classes)))
    tally = Tally(classes)
    tally.add(logits, torch.from_numpy(labels))
    names = changes.pop("names", tuple(f"class {n}" for n in range(classes)))
    judged = Judged(
        split="test",
        told="images kept for the end",
        figures=tally.judged(names),
        answers=Answers.of(logits, labels),
        name_of=lambda place: f"photos/{place}.jpg",
        picture=changes.pop("picture", picture),
    )
    config = changes.pop("config", replace(TINY, classes=classes))
    fields: dict[str, Any] = {"data": "photos", "results": {}, "judged": [judged]}
    return RunReport(checkpoint=checkpoint(config, labels=names), **(fields | changes))
