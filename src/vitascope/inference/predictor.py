"""From images of any kind to labels and probabilities."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.device import resolve_device
from vitascope.errors import CheckpointError, ConfigError

AnyImage = str | Path | bytes | Image.Image | np.ndarray
Prediction = tuple[str, int, float]
"""(label, class index, probability in [0, 1])."""

ENGINES = ("auto", "eager")
"""Ways to compute; "auto" takes the fastest that is known here."""


class Predictor:
    """Predicts with a checkpoint: `Predictor("runs/flowers")(["a.jpg", "b.jpg"], top=3)`.

    Float32, so that a prediction does not depend on the machine's preferences. Raises `CheckpointError` for a
    checkpoint without a head, `ConfigError` for an unknown engine or device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        engine: str = "auto",
        *,
        device: torch.device | str | None = None,
        batch: int = 32,
    ) -> None:
        if engine not in ENGINES:
            raise ConfigError(f"engine is {engine!r}, expected one of {', '.join(ENGINES)}")
        if batch < 1:
            raise ConfigError(f"batch is {batch}, expected at least 1")
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else load(checkpoint)
        if not self.checkpoint.labels:
            raise CheckpointError("this checkpoint has no head, so it cannot predict labels: fine-tune it first")
        self.device = resolve_device(device)
        self.batch = batch
        model = self.checkpoint.model
        # The caller's checkpoint stays where it is.
        self.model = (model if self.device.type == "cpu" else copy.deepcopy(model).to(self.device)).eval()

    def __call__(self, images: AnyImage | Sequence[AnyImage], top: int = 5) -> list[list[Prediction]]:
        """The `top` predictions of every image, best first; one image counts as a list of one.

        Images are paths, encoded bytes, Pillow images or uint8 arrays (H, W[, C]). Raises ImageError.
        """
        if top < 1:
            raise ConfigError(f"top is {top}, expected at least 1")
        probabilities = self.probabilities(images)
        labels = self.checkpoint.labels
        best = probabilities.topk(min(top, len(labels)), dim=1)
        return [
            [(labels[i], i, p) for i, p in zip(indices, values, strict=True)]
            for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    @torch.inference_mode()
    def probabilities(self, images: AnyImage | Sequence[AnyImage]) -> torch.Tensor:
        """Softmax over the classes, float32 (n, K) on the CPU."""
        several = [images] if isinstance(images, str | Path | bytes | Image.Image | np.ndarray) else list(images)
        if not several:
            return torch.zeros(0, len(self.checkpoint.labels))
        results = []
        for first in range(0, len(several), self.batch):
            inputs = torch.stack([self.checkpoint.preprocess(image) for image in several[first : first + self.batch]])
            results.append(self.model(inputs.to(self.device)).float().softmax(dim=1).cpu())
        return torch.cat(results)
