"""What is shown of an image by a model whose insides cannot be seen: a ResNet, or an export for another runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitascope.checkpoints.checkpoint import Checkpoint, Prediction
from vitascope.inference.exported import Exported
from vitascope.models.vit import ViT


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainLook:
    """The image and the answer."""

    image: np.ndarray
    """uint8 (H, W, 3): what the model saw, before normalisation."""
    predictions: list[Prediction]
    """As of `Look`."""
    members: tuple[str, ...] | None = None
    """As of `Look`."""
    coverage: float | None = None
    """As of `Look`."""

    @property
    def nbytes(self) -> int:
        """Memory of the image."""
        return self.image.nbytes


def why_closed(model: Checkpoint | Exported) -> str:
    """A sentence for people, why the insides of this model are not shown; "" where they are."""
    if isinstance(model, Exported):
        return f"An export to {_NAMES[model.format]} gives answers alone; serve the checkpoint itself to look inside."
    if isinstance(model.model, ViT):
        return ""
    return f"A {type(model.model).__name__} has no attention to look at; its answers are here."


_NAMES = {"onnx": "ONNX", "openvino": "OpenVINO"}
