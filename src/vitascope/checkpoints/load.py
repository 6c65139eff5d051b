"""`vs.load`: any checkpoint, recognised by its content, as a model with its labels and preprocessing."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from vitascope.checkpoints.adapt import assemble, replace_head, resize_model
from vitascope.checkpoints.checkpoint import Checkpoint, numbered_labels, read_from
from vitascope.checkpoints.differences import differences
from vitascope.checkpoints.formats.raw import Draft, RawCheckpoint
from vitascope.checkpoints.formats.table import understand
from vitascope.checkpoints.locate import locate, read_raw
from vitascope.checkpoints.prior import Prior, with_prior
from vitascope.checkpoints.stated import Labels, Statistics, restated
from vitascope.checkpoints.store import WEIGHTS, is_own, read_folder
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.fields import height_width
from vitascope.models.bit import BiT
from vitascope.models.catalogue import model_config
from vitascope.models.config import ModelConfig, Size, ViTConfig
from vitascope.models.vit import ViT
from vitascope.wording import count

log = logging.getLogger(__name__)

_FREE = ("image_size", "classes")
"""Fields in which a file may differ from the config that the caller states: sizes of the task."""
_CONVENTIONS = (
    *("gelu", "norm_eps", "representation_size", "representation_activation"),
    *("stem.norm_eps", "stem.kernel_rule", "stem.kernel_eps", "kernel_eps"),
)
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
    prior: Prior | None = None,
) -> Checkpoint:
    """Reads a file, a folder or a run: `ck.model` (evaluation mode, float32, CPU), `ck.config`, `ck.labels`, …

    Where nothing is at that path, a name is fetched once: "timm/vit_small_patch16_224.augreg_in21k", "google:…" (see
    `named.KINDS`); `ck.card["fetched"]` says its revision and SHA-256.
    `classes` other than the file's gives a new zero-initialised head without a hidden layer, as fine-tuning
    starts. `image_size` resizes the positions once, by the official rule, and the preprocessing with them.
    `model`, a catalogue name or a config, states the architecture: a file is refused that differs from it in anything
    that changes results (a name leaves open the form of GELU, the LayerNorm's eps and the head's hidden layer), and it
    decides what some formats leave open (heads, a grid that is not square). Without labels in the file they
    are "0", "1", …; `labels` names them (a sequence, or a file: see `read_labels`). `mean` and `std` replace those of
    the preprocessing, which a bare file does not hold: numbers, or mean="imagenet" for both. `prior` says how often
    classes occur where the model is used (see `with_prior`). Raises `CheckpointError`, or `ConfigError` for arguments
    that cannot be.
    """
    stated = model_config(model) if isinstance(model, str) else model
    size = None if image_size is None else height_width(image_size, "image_size")
    located = locate(path)
    place = located.place
    folder = place.parent if place.name == WEIGHTS and place.is_file() else place
    if folder.is_dir() and is_own(folder):
        checkpoint = read_folder(folder)
    else:
        raw = replace(read_raw(place), model=stated, image_size=size, normalised=mean is not None)
        checkpoint = _read_foreign(raw)
    if located.fetched:
        checkpoint = replace(checkpoint, card={**checkpoint.card, "fetched": dict(located.fetched)})
    if stated is not None:
        free = (*_FREE, *_CONVENTIONS) if isinstance(model, str) else _FREE
        _refuse_other(checkpoint.config, stated, free, Path(path))
    if classes is None:
        _warn_of_zero_head(checkpoint.model)
    checkpoint = restated(adapt(checkpoint, classes=classes, image_size=size), labels, mean, std)
    return checkpoint if prior is None else with_prior(checkpoint, prior)


def adapt(checkpoint: Checkpoint, *, classes: int | None = None, image_size: Size | None = None) -> Checkpoint:
    """The checkpoint for another number of classes or image size; see `load`."""
    model, preprocess, labels = checkpoint.model, checkpoint.preprocess, checkpoint.labels
    if image_size is not None and image_size != preprocess.size:
        model, preprocess = resize_model(model, image_size), preprocess.with_size(image_size)
        if checkpoint.sets is not None:
            log.warning("prediction sets were calibrated at another image size, and are left out")
            checkpoint = replace(checkpoint, sets=None)
    if classes is not None and classes != model.config.classes:
        log.warning("%s: train it before it is used", new_head(classes, model.config.classes))
        model, labels = replace_head(model, classes), numbered_labels(classes)
        checkpoint = replace(checkpoint, activation="softmax", sets=None)
    return replace(checkpoint, model=model, preprocess=preprocess, labels=labels)


def new_head(classes: int, before: int) -> str:
    """What is said of it."""
    told = f"in place of the checkpoint's {before}" if before else "on a checkpoint that had no head"
    return f"new zero head for {count(classes, 'class')} {told}"


def _read_foreign(raw: RawCheckpoint) -> Checkpoint:
    with read_from(raw.path):
        format, draft = understand(raw)
        return Checkpoint(
            model=assemble(draft.config, draft.layout.to_own(draft.tensors, draft.config, raw.path)),
            preprocess=_whole_patches(draft, raw.path),
            labels=draft.labels or numbered_labels(draft.config.classes),
            activation=draft.activation,
            card={"origin": {"format": format.name, "file": raw.path.name}},
            format=format.name,
        )


def _whole_patches(draft: Draft, path: Path) -> Preprocess:
    """How images are prepared, at a size that divides into patches: some (SigLIP's 384 by 14) leave a rest unseen."""
    config, size = draft.config, draft.preprocess.size
    if not isinstance(config, ViTConfig) or not any(side % config.pixels_per_token for side in size):
        return draft.preprocess
    told, taken = (f"{height}×{width}" for height, width in (size, config.image_size))
    log.warning(
        "%s: images of %s are no whole number of patches of %d pixels; prepared at %s, the size of its positions",
        path, told, config.pixels_per_token, taken,
    )  # fmt: skip
    return draft.preprocess.with_size(config.image_size)


def _refuse_other(config: ModelConfig, stated: ModelConfig, free: Collection[str], path: Path) -> None:
    kind, stated_kind = (type(c).__name__.removesuffix("Config") for c in (config, stated))
    if kind != stated_kind:
        raise CheckpointError(f"{path}: holds a {kind}, but model= says {stated_kind}")
    if different := differences(config, stated, free):
        raise CheckpointError(f"{path}: not the model that was stated: {'; '.join(different)}")


def _warn_of_zero_head(model: ViT | BiT) -> None:
    linear = model.head.linear
    if linear is not None and not linear.weight.any():
        log.warning(
            "the checkpoint's head of %d classes is all zeros, as in the official ImageNet-21k files: "
            "its predictions mean nothing before fine-tuning",
            model.config.classes,
        )
