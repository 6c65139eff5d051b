"""The peers' models with our weights in them; nothing of this package imports timm, transformers or torchvision.

torchvision's published wheel does not import beside the CPU build of torch, because its compiled operators are
missing, and takes timm and transformers down with it. The models need none of these operators, so it is enough to
declare them before the import.
"""

from __future__ import annotations

import importlib
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.save import save

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: list[torch.library.Library] = []


def import_peer(name: str) -> ModuleType:
    """The package; raises whatever importing it raises."""
    if not _library and not hasattr(torch.ops.torchvision, "nms"):
        _library.append(torch.library.Library("torchvision", "DEF"))
        for schema in _OPERATORS:
            _library[0].define(schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def timm_model(checkpoint: Checkpoint) -> nn.Module:
    """timm's model with the checkpoint's weights, as its users open a folder."""
    timm = import_peer("timm")
    with tempfile.TemporaryDirectory() as folder:
        save(checkpoint, Path(folder) / "timm", format="timm")
        return timm.create_model(f"local-dir:{folder}/timm", pretrained=True)


def transformers_model(checkpoint: Checkpoint) -> nn.Module:
    """transformers' model, likewise."""
    transformers = import_peer("transformers")
    with tempfile.TemporaryDirectory() as folder:
        save(checkpoint, Path(folder) / "hf", format="huggingface")
        return transformers.ViTForImageClassification.from_pretrained(f"{folder}/hf")
