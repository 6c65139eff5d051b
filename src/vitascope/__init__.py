"""Vitascope: the whole of "An Image is Worth 16x16 Words" as one practical toolkit.

import vitascope as vs

model = vs.create_model("ViT-B/16", classes=10)
checkpoint = vs.load("runs/flowers/model")
vs.Predictor(checkpoint)("photo.jpg")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vitascope.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    ExportError,
    ImageError,
    OutputError,
    PeerError,
    Stopped,
    UserError,
    VitascopeError,
)
from vitascope.version import __version__

if TYPE_CHECKING:
    from vitascope import data, evaluation, models, views
    from vitascope.checkpoints.checkpoint import Checkpoint
    from vitascope.checkpoints.load import load
    from vitascope.checkpoints.save import save
    from vitascope.data.open import open_data
    from vitascope.data.preprocess import Preprocess
    from vitascope.inference.features import features
    from vitascope.inference.predictor import Predictor
    from vitascope.models.catalogue import create_model, model_config, model_names
    from vitascope.recipes.teach import teach

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "ExportError",
    "ImageError",
    "OutputError",
    "PeerError",
    "Predictor",
    "Preprocess",
    "Stopped",
    "UserError",
    "VitascopeError",
    "__version__",
    "create_model",
    "data",
    "evaluation",
    "features",
    "load",
    "model_config",
    "model_names",
    "models",
    "open_data",
    "save",
    "teach",
    "views",
]

# Looked up on first use, so that `import vitascope` (and `vitascope --help`) does not wait for torch.
_HOMES = {
    "Checkpoint": "checkpoints.checkpoint",
    "Predictor": "inference.predictor",
    "Preprocess": "data.preprocess",
    "create_model": "models.catalogue",
    "features": "inference.features",
    "load": "checkpoints.load",
    "model_config": "models.catalogue",
    "model_names": "models.catalogue",
    "open_data": "data.open",
    "save": "checkpoints.save",
    "teach": "recipes.teach",
}
_PACKAGES = ("data", "evaluation", "models", "views")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"vitascope.{name}")
    if name in _HOMES:
        return getattr(import_module(f"vitascope.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vitascope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
