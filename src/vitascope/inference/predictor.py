"""From images of any kind to labels and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitascope.checkpoints.checkpoint import Checkpoint, probabilities
from vitascope.errors import CheckpointError, ConfigError
from vitascope.inference.engines.auto import Auto, make_engine
from vitascope.inference.exported import Exported, open_model

AnyImage = str | Path | bytes | Image.Image | np.ndarray
Prediction = tuple[str, int, float]
"""(label, class index, probability in [0, 1])."""


class Predictor:
    """Predicts with a checkpoint or an exported folder: `Predictor("runs/flowers")(["a.jpg", "b.jpg"], top=3)`.

    `engine` is one of `vitascope.inference.engines.names.ENGINES`. `precision` is float32 unless asked otherwise, so
    that a prediction does not depend on the machine's preferences; "bfloat16" is faster on processors made for it, and
    "auto" measures whether this one is. Raises `CheckpointError` for a checkpoint without a head, `ConfigError` for an
    engine, precision or device that is unknown or does not work here.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | Exported | str | Path,
        engine: str = "auto",
        *,
        device: torch.device | str | None = None,
        batch: int = 32,
        precision: str = "float32",
    ) -> None:
        if batch < 1:
            raise ConfigError(f"batch is {batch}, expected at least 1")
        self.checkpoint = open_model(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint
        if not self.checkpoint.labels:
            raise CheckpointError("this checkpoint has no head, so it cannot predict labels: fine-tune it first")
        self.batch = batch
        if isinstance(self.checkpoint, Checkpoint):
            self.engine = make_engine(engine, self.checkpoint, device, precision, batch)
        else:
            refuse_choices(self.checkpoint, engine, device, precision)
            self.engine = self.checkpoint.engine()

    def __call__(self, images: AnyImage | Sequence[AnyImage], top: int = 5) -> list[list[Prediction]]:
        """The `top` predictions of every image, best first; one image counts as a list of one.

        Images are paths, encoded bytes, Pillow images or uint8 arrays (H, W[, C]). Raises ImageError.
        """
        return self.ranked(self.probabilities(images), top)

    def ranked(self, probabilities: torch.Tensor, top: int = 5) -> list[list[Prediction]]:
        """The `top` labels of each row (n, K), best first."""
        if top < 1:
            raise ConfigError(f"top is {top}, expected at least 1")
        labels = self.checkpoint.labels
        best = probabilities.topk(min(top, len(labels)), dim=1)
        return [
            [(labels[i], i, p) for i, p in zip(indices, values, strict=True)]
            for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def expect(self, images: int) -> None:
        """Tells how many images a job will bring in several calls, so that "auto" may choose for all of them."""
        if isinstance(self.engine, Auto):
            self.engine.expect(images)

    @torch.inference_mode()
    def probabilities(self, images: AnyImage | Sequence[AnyImage]) -> torch.Tensor:
        """By the checkpoint's activation, over the classes or label by label, float32 (n, K) on the CPU."""
        several = [images] if isinstance(images, str | Path | bytes | Image.Image | np.ndarray) else list(images)
        if not several:
            return torch.zeros(0, len(self.checkpoint.labels))
        if len(several) > self.batch:
            self.expect(len(several))
        results = []
        for first in range(0, len(several), self.batch):
            inputs = [self.checkpoint.preprocess(image).numpy() for image in several[first : first + self.batch]]
            # Gathered by NumPy, since PyTorch's threads would go on spinning beside an engine that has its own.
            results.append(self.outputs(torch.from_numpy(np.stack(inputs))))
        return torch.cat(results)

    @torch.inference_mode()
    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """As `probabilities`, of images that are normalised already, float32 (n, C, h, w).

        Raises `CheckpointError` for outputs that are not finite.
        """
        logits = self.engine(images)
        if not logits.isfinite().all():
            raise CheckpointError("the model's outputs are not finite (NaN or infinity); did its training diverge?")
        return probabilities(logits, self.checkpoint.activation)


def refuse_choices(exported: Exported, engine: str, device: torch.device | str | None, precision: str) -> None:
    """Raises `ConfigError` where an exported model is asked to be anything but what it is."""
    if engine not in ("auto", exported.format):
        raise ConfigError(
            f"{exported.folder} runs on engine {exported.format}, not {engine}; use the checkpoint itself"
        )
    if device is not None and torch.device(device).type != "cpu":
        raise ConfigError(f"{exported.folder} runs on the CPU, not on {device}; use the checkpoint itself")
    if precision not in ("auto", "float32"):
        raise ConfigError(f"{exported.folder} has its own precision; use the checkpoint itself for {precision}")
