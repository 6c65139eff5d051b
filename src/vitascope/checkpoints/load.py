"""`vs.load`: any checkpoint, recognised by its content, as a model with its labels and preprocessing."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from vitascope.checkpoints.adapt import assemble, replace_head, resize_model
from vitascope.checkpoints.checkpoint import Checkpoint, numbered_labels
from vitascope.checkpoints.formats.found import Found
from vitascope.checkpoints.formats.table import READERS
from vitascope.checkpoints.keys import to_own
from vitascope.checkpoints.tensor_file import read_tensors
from vitascope.errors import CheckpointError, ConfigError
from vitascope.models.catalogue import model_config
from vitascope.models.config import ModelConfig, Size, image_size_pair

log = logging.getLogger(__name__)

_DEFINING = ("width", "depth", "heads", "hidden", "patch", "stem", "units", "width_factor")


def load(
    path: str | Path,
    classes: int | None = None,
    image_size: int | Size | None = None,
    model: str | ModelConfig | None = None,
) -> Checkpoint:
    """Reads a file, a folder or a run: `ck.model` (evaluation mode, float32, CPU), `ck.config`, `ck.labels`, …

    `classes` other than the file's gives a new zero-initialised head without a hidden layer, as fine-tuning
    starts. `image_size` resizes the positions once, by the official rule, and the preprocessing with them.
    `model`, a catalogue name or a config, states the architecture: it is refused if the file has another, and
    decides what some formats leave open (heads, a grid that is not square). Without labels in the file they
    are "0", "1", … Raises `CheckpointError`, or `ConfigError` for arguments that cannot be.
    """
    stated = model_config(model) if isinstance(model, str) else model
    size = None if image_size is None else image_size_pair(image_size)
    checkpoint = _read(Path(path), stated, size)
    if stated is not None:
        _refuse_other(checkpoint.config, stated, Path(path))
    return adapt(checkpoint, classes=classes, image_size=size)


def adapt(checkpoint: Checkpoint, *, classes: int | None = None, image_size: Size | None = None) -> Checkpoint:
    """The checkpoint for another number of classes or image size; see `load`."""
    if image_size is not None:
        checkpoint = replace(
            checkpoint,
            model=resize_model(checkpoint.model, image_size),
            preprocess=checkpoint.preprocess.with_size(image_size),
        )
    if classes is not None and classes != checkpoint.config.classes:
        log.warning(
            "new zero head for %d classes in place of the checkpoint's %d: it must be trained before it is used",
            classes,
            checkpoint.config.classes,
        )
        checkpoint = replace(checkpoint, model=replace_head(checkpoint.model, classes), labels=numbered_labels(classes))
    elif checkpoint.config.classes:
        _warn_of_zero_head(checkpoint)
    return checkpoint


def _read(path: Path, stated: ModelConfig | None, size: Size | None) -> Checkpoint:
    file = read_tensors(path)
    return understand(Found(path=path, tensors=file.tensors, metadata=file.metadata, model=stated, image_size=size))


def understand(found: Found) -> Checkpoint:
    """A foreign checkpoint, by the names of its tensors."""
    for reader in READERS:
        if reader.recognise(found.tensors.keys()):
            break
    else:
        names = list(found.tensors)
        raise CheckpointError(
            f"{found.path}: no known format has these {len(names)} tensors ({', '.join(names[:4])}, …); "
            "expected vitascope, google, timm, huggingface or torchvision names"
        )
    try:
        draft = reader.read(found)
    except ConfigError as error:
        raise CheckpointError(f"{found.path}: {error}") from error
    state = to_own(draft.rows, draft.tensors, draft.config, found.path)
    return Checkpoint(
        model=assemble(draft.config, state),
        preprocess=draft.preprocess,
        labels=draft.labels or numbered_labels(draft.config.classes),
        card={"origin": {"format": reader.name, "file": found.path.name}},
        format=reader.name,
    )


def _refuse_other(config: ModelConfig, stated: ModelConfig, path: Path) -> None:
    kind, stated_kind = (type(c).__name__.removesuffix("Config") for c in (config, stated))
    if kind != stated_kind:
        raise CheckpointError(f"{path}: holds a {kind}, but model= says {stated_kind}")
    differences = [
        f"{name} {getattr(config, name)} instead of {getattr(stated, name)}"
        for name in _DEFINING
        if hasattr(config, name) and getattr(config, name) != getattr(stated, name)
    ]
    if differences:
        raise CheckpointError(f"{path}: not the model that model= names: {'; '.join(differences)}")


def _warn_of_zero_head(checkpoint: Checkpoint) -> None:
    linear = checkpoint.model.head.linear
    if linear is not None and not linear.weight.any():
        log.warning(
            "the checkpoint's head of %d classes is all zeros, as in the official ImageNet-21k files: "
            "its predictions mean nothing before fine-tuning",
            checkpoint.config.classes,
        )
