"""`vs.load`: any checkpoint, recognised by its content, as a model with its labels and preprocessing."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.adapt import assemble, replace_head, resize_model
from vitascope.checkpoints.checkpoint import Checkpoint, numbered_labels
from vitascope.checkpoints.formats.found import Found
from vitascope.checkpoints.formats.others import other_architecture
from vitascope.checkpoints.formats.table import READERS
from vitascope.checkpoints.keys import to_own
from vitascope.checkpoints.place import find, locate
from vitascope.checkpoints.stated import Labels, Statistics, restated
from vitascope.checkpoints.store import WEIGHTS, is_own, read_folder
from vitascope.checkpoints.unwrap import unwrap
from vitascope.errors import CheckpointError, ConfigError
from vitascope.models.bit import BiT
from vitascope.models.catalogue import model_config
from vitascope.models.config import ModelConfig, Size, ViTConfig, image_size_pair
from vitascope.models.vit import ViT
from vitascope.wording import some

log = logging.getLogger(__name__)

_FREE = ("image_size", "classes", "head_bias", "dropout", "stochastic_depth")
"""Fields in which a file may differ from the config that the caller states: sizes of the task, and training alone."""
_CONVENTIONS = ("gelu", "norm_eps", "representation_size", "representation_activation")
"""Further fields that a mere name leaves open, because libraries and published files differ in them."""


@torch.inference_mode(False)
def load(
    path: str | Path,
    classes: int | None = None,
    image_size: int | Size | None = None,
    model: str | ModelConfig | None = None,
    *,
    labels: Labels | None = None,
    mean: Statistics | None = None,
    std: Statistics | None = None,
) -> Checkpoint:
    """Reads a file, a folder or a run: `ck.model` (evaluation mode, float32, CPU), `ck.config`, `ck.labels`, …

    `classes` other than the file's gives a new zero-initialised head without a hidden layer, as fine-tuning
    starts. `image_size` resizes the positions once, by the official rule, and the preprocessing with them.
    `model`, a catalogue name or a config, states the architecture: a file is refused that differs from it in anything
    that changes results (a name leaves open the form of GELU, the LayerNorm's eps and the head's hidden layer), and it
    decides what some formats leave open (heads, a grid that is not square). Without labels in the file they
    are "0", "1", …; `labels` names them (a sequence, or a file: see `read_labels`). `mean` and `std` replace those of
    the preprocessing, which a bare file does not hold: numbers, or mean="imagenet" for both. Raises `CheckpointError`,
    or `ConfigError` for arguments that cannot be.
    """
    stated = model_config(model) if isinstance(model, str) else model
    size = None if image_size is None else image_size_pair(image_size)
    checkpoint = _read(Path(path), stated, size, mean is not None)
    if stated is not None:
        free = (*_FREE, *_CONVENTIONS) if isinstance(model, str) else _FREE
        _refuse_other(checkpoint.config, stated, free, Path(path))
    return restated(adapt(checkpoint, classes=classes, image_size=size), labels, mean, std)


def adapt(checkpoint: Checkpoint, *, classes: int | None = None, image_size: Size | None = None) -> Checkpoint:
    """The checkpoint for another number of classes or image size; see `load`."""
    model, preprocess, labels = checkpoint.model, checkpoint.preprocess, checkpoint.labels
    if image_size is not None:
        model, preprocess = resize_model(model, image_size), preprocess.with_size(image_size)
    if classes is not None and classes != model.config.classes:
        log.warning(
            "new zero head for %d classes in place of the checkpoint's %d: train it before it is used",
            classes,
            model.config.classes,
        )
        model, labels = replace_head(model, classes), numbered_labels(classes)
        checkpoint = replace(checkpoint, activation="softmax")
    else:
        _warn_of_zero_head(model)
    return replace(checkpoint, model=model, preprocess=preprocess, labels=labels)


def _read(path: Path, stated: ModelConfig | None, size: Size | None, normalised: bool) -> Checkpoint:
    place = locate(path)
    if place.is_dir() and is_own(place):
        return read_folder(place)
    if place.is_file() and place.name == WEIGHTS and is_own(place.parent):
        return read_folder(place.parent)
    return understand(replace(find(place, stated, size), normalised=normalised))


def understand(found: Found) -> Checkpoint:
    """A foreign checkpoint, told by the names of its tensors; raises `CheckpointError`."""
    taken = unwrap(found.tensors, READERS, found.path)
    if other := other_architecture(found.tensors if taken is None else taken[1]):
        raise CheckpointError(f"{found.path}: {other}; what is read are ViTs, their hybrids and BiT-ResNets")
    if taken is None:
        raise CheckpointError(
            f"{found.path}: no known format has these {len(found.tensors)} tensors ({some(list(found.tensors), 4)}); "
            f"expected vitascope, google, timm, huggingface or torchvision names{_called(found)}"
        )
    reader, found = taken[0], replace(found, tensors=taken[1])
    try:
        draft = reader.read(found)
    except ConfigError as error:
        raise CheckpointError(f"{found.path}: {error}") from error
    except CheckpointError as error:
        where = "" if str(found.path) in str(error) else f"{found.path}: "
        raise CheckpointError(f"{where}{error}") from error
    state = to_own(draft.rows, draft.tensors, draft.config, found.path)
    return Checkpoint(
        model=assemble(draft.config, state),
        preprocess=draft.preprocess,
        labels=draft.labels or numbered_labels(draft.config.classes),
        activation=draft.activation,
        card={"origin": {"format": reader.name, "file": found.path.name}},
        format=reader.name,
    )


def _called(found: Found) -> str:
    name = found.config.get("model_type", found.architecture)
    return f" (described as {str(name)[:40]})" if name else ""


def _refuse_other(config: ModelConfig, stated: ModelConfig, free: Collection[str], path: Path) -> None:
    kind, stated_kind = (type(c).__name__.removesuffix("Config") for c in (config, stated))
    if kind != stated_kind:
        raise CheckpointError(f"{path}: holds a {kind}, but model= says {stated_kind}")
    wanted = _defining(stated)
    differences = [
        f"{name} {value} instead of {wanted[name]}"
        for name, value in _defining(config).items()
        if name not in free and value != wanted[name]
    ]
    if differences:
        raise CheckpointError(f"{path}: not the model that was stated: {'; '.join(differences)}")


def _defining(config: ModelConfig) -> dict[str, Any]:
    values: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(config)}
    if isinstance(config, ViTConfig):  # what has no effect, or only on the start of a training, does not count
        values |= {"class_row": config.has_class_row, "layer_scale": config.layer_scale is not None}
        if config.representation_size is None:
            values["representation_activation"] = None
    return values


def _warn_of_zero_head(model: ViT | BiT) -> None:
    linear = model.head.linear
    if linear is not None and not linear.weight.any():
        log.warning(
            "the checkpoint's head of %d classes is all zeros, as in the official ImageNet-21k files: "
            "its predictions mean nothing before fine-tuning",
            model.config.classes,
        )
