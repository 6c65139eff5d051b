"""What an export costs in accuracy: its labels beside the model's, on images of a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.data.copies import digests
from vitascope.data.labels import indicator
from vitascope.data.preprocess import to_tensor
from vitascope.data.source import Source
from vitascope.errors import ExportError
from vitascope.inference.class_token import for_prediction
from vitascope.inference.engines.pytorch import Engine
from vitascope.streams import Stream, generator

MOST = 2_000
"""Images that judge at most, drawn of those that are given: three hundred megabytes at 224 pixels."""
_BATCH = 32


def drawn(source: Source) -> np.ndarray:
    """All positions in an order that is the same every time; classes may lie one after another in a source."""
    return generator(Stream.CALIBRATION, 0).permutation(len(source))


def prepared(checkpoint: Checkpoint, source: Source, positions: np.ndarray) -> np.ndarray:
    """Images of these positions as the model takes them, float32 (n, C, h, w)."""
    return np.stack([checkpoint.preprocess(source[int(i)]).numpy() for i in positions])


class Judge:
    """Holds images as the model sees them, and what the model says of each. Raises ImageError, `ExportError`."""

    def __init__(self, checkpoint: Checkpoint, source: Source, positions: np.ndarray | None = None) -> None:
        self.source, self.preprocess = source, checkpoint.preprocess
        self.positions = drawn(source)[:MOST] if positions is None else positions
        self.pixels = to_tensor([checkpoint.preprocess.pixels(source[int(i)]) for i in self.positions])
        self.right: np.ndarray | None = None
        self.several = checkpoint.activation == "sigmoid"
        if source.classes and source.classes == checkpoint.labels and source.several <= self.several:
            self.right = np.asarray(source.labels)[self.positions]
            if self.several and not source.several:
                self.right = indicator(self.right, len(source.classes))
        self.labels = self._labels(for_prediction(checkpoint.model))
        among = None if checkpoint.shown is None else checkpoint.shown.among(digests(source))
        self.trained_on = None if among is None else int(among[self.positions].sum())
        """How many of them the checkpoint is known to have been trained on; None where nothing is known."""

    def batch(self, size: int) -> torch.Tensor:
        """So many of its images, normalised float32 (B, C, h, w), again from the first where there are fewer."""
        return self.preprocess.normalise(self.pixels[torch.arange(size) % len(self.pixels)])

    def of(self, engine: Engine) -> dict[str, Any]:
        """The share that keeps its label, or all of its labels where there may be several, and, where labels are known,
        the shares that are right.
        """
        labels = self._labels(engine)
        result: dict[str, Any] = {
            "judged_on": len(self.positions),
            "trained_on": self.trained_on,
            "same_label": _share(labels, self.labels),
        }
        if self.right is not None:
            shares = {"before": self.labels, "after": labels}
            result["top1"] = {name: _share(given, self.right) for name, given in shares.items()}
        return result

    @torch.no_grad()
    def _labels(self, engine: Engine) -> np.ndarray:
        found = []
        for part in torch.split(self.pixels, _BATCH):
            logits = engine(self.preprocess.normalise(part))
            if not logits.isfinite().all():
                raise ExportError("the outputs are not finite (NaN or infinity); nothing was written")
            found.append((logits >= 0 if self.several else logits.argmax(1)).numpy())
        return np.concatenate(found)


def _share(one: np.ndarray, other: np.ndarray) -> float:
    """Of images whose labels (n,), or all of whose (n, K), are the same."""
    return float((one == other).reshape(len(one), -1).all(1).mean())
