"""From images of any kind to labels and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitascope.checkpoints.answer import Answer, answers
from vitascope.checkpoints.checkpoint import Checkpoint, probabilities, ranked
from vitascope.data.preprocess import to_tensor
from vitascope.errors import CheckpointError, ConfigError
from vitascope.inference.engines.auto import Auto, make_engine
from vitascope.inference.exported import Exported, open_model
from vitascope.inference.predictions import Predictions

AnyImage = str | Path | bytes | Image.Image | np.ndarray


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
        self.engine = make_engine(engine, self.checkpoint, device, precision, batch)

    def __call__(self, images: AnyImage | Sequence[AnyImage], top: int = 5) -> Predictions:
        """The `top` predictions of every image, best first: a list of lists of (label, index, probability), which a
        notebook shows as a table; one image counts as a list of one.

        Images are paths, encoded bytes, Pillow images or uint8 arrays (H, W[, C]). Raises ImageError.
        """
        several = _several(images)
        return Predictions(ranked(self.probabilities(several), self.checkpoint.labels, top), several)

    def answers(self, probabilities: torch.Tensor, top: int = 5) -> list[Answer]:
        """What is said of images with these probabilities (n, K): labels, and prediction sets where there are some."""
        return answers(probabilities, self.checkpoint.labels, self.checkpoint.sets, top)

    def expect(self, images: int) -> None:
        """Tells how many images a job will bring in several calls, so that "auto" may choose for all of them."""
        if isinstance(self.engine, Auto):
            self.engine.expect(images)

    def probabilities(self, images: AnyImage | Sequence[AnyImage]) -> torch.Tensor:
        """By the checkpoint's activation, over the classes or label by label, float32 (n, K) on the CPU."""
        several = _several(images)
        if len(several) > self.batch:
            self.expect(len(several))
        parts = [several[first : first + self.batch] for first in range(0, max(len(several), 1), self.batch)]
        return torch.cat([self.outputs([self.checkpoint.preprocess.pixels(i) for i in part]) for part in parts])

    @torch.inference_mode()
    def outputs(self, pixels: list[np.ndarray]) -> torch.Tensor:
        """As `probabilities`, of at most a batch of images that have the model's size, uint8 (h, w, C).

        Raises `CheckpointError` for outputs that are not finite.
        """
        if not pixels:
            return torch.zeros(0, len(self.checkpoint.labels))
        logits = self.engine(self.checkpoint.preprocess.normalise(to_tensor(pixels)))
        if not logits.isfinite().all():
            raise CheckpointError("the model's outputs are not finite (NaN or infinity); did its training diverge?")
        return probabilities(logits, self.checkpoint.activation)


def _several(images: AnyImage | Sequence[AnyImage]) -> list[AnyImage]:
    return [images] if isinstance(images, str | Path | bytes | Image.Image | np.ndarray) else list(images)
