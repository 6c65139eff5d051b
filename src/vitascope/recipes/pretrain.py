"""Pre-training from initial values: with the MLP head (Section 4.1, Table 3), or without labels (Section 4.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch

from vitascope.checkpoints.shown import NEW
from vitascope.data.batches import permutation
from vitascope.data.preprocess import Preprocess, to_tensor
from vitascope.data.source import Source
from vitascope.errors import ConfigError
from vitascope.models.catalogue import build_model, model_config
from vitascope.models.config import ModelConfig, ViTConfig
from vitascope.models.initialise import initialise_masked, zero_residuals
from vitascope.models.masked import masked_model
from vitascope.models.masked_config import MaskedConfig
from vitascope.models.vit import ViT
from vitascope.models.whiten import whiten_patches
from vitascope.recipes.prepare import RunData
from vitascope.recipes.recipe import PretrainRecipe
from vitascope.recipes.run import How, Start, run
from vitascope.streams import Stream, seed_of
from vitascope.training.masked import MaskedImages
from vitascope.training.objective import classification


def pretrain(recipe: PretrainRecipe, **how: Unpack[How]) -> Path:
    """Pre-trains a model; returns the folder that holds it (RUN/model). For `how` and what is raised see `run`."""
    return run(recipe, partial(_begin, recipe), **how)


def _begin(recipe: PretrainRecipe, prepare: Callable[..., RunData]) -> Start:
    masked = recipe.masked if recipe.objective == "masked" else None
    if masked is not None:
        _check_masked(recipe, masked)  # what it refuses is refused before images are read
    data = prepare(labels=masked is None)
    config = pretraining_config(recipe, len(data.classes))
    draw = torch.Generator().manual_seed(seed_of(Stream.INITIAL, recipe.seed))
    model = build_model(config, draw)
    preprocess = Preprocess(
        size=config.image_size,
        channels=config.channels,
        crop_fraction=crop_fraction(min(config.image_size)),
        mean=recipe.mean,
        std=recipe.std,
    )
    if recipe.zero_residuals:
        zero_residuals(model)
    if recipe.whiten:
        whiten_patches(model, _first_images(data.train, preprocess, recipe.whiten, recipe.seed))
    card = {"task": "pre-training", "model": recipe.model, "data": recipe.data}
    kind = classification(data.train)
    start = Start(data=data, model=model, preprocess=preprocess, card=card, before=NEW, kind=kind)
    if masked is None:
        return start
    assert isinstance(model, ViT)
    around = masked_model(model, masked)
    initialise_masked(around, draw)
    hidden = partial(MaskedImages, masked=masked, config=model.config)
    return replace(start, around=around, kind=hidden, card={**card, "task": "pre-training on masked images"})


def pretraining_config(recipe: PretrainRecipe, classes: int) -> ModelConfig:
    """The model of a recipe: the catalogue's, with its head and what else the recipe says."""
    options = {"stochastic_depth": True, "image_size": recipe.image_size, "dropout": recipe.dropout is not None}
    for name in recipe.model_fields:
        if name == "classes":
            raise ConfigError(f"model_fields has classes {recipe.model_fields[name]}; the data decides: leave it out")
        if options.get(name):
            raise ConfigError(
                f"model_fields has {name} {recipe.model_fields[name]}; give it as --{name.replace('_', '-')} instead"
            )
    fields: dict[str, Any] = {**recipe.model_fields, "classes": classes}
    if recipe.image_size is not None:
        fields["image_size"] = recipe.image_size
    base = model_config(recipe.model)
    if isinstance(base, ViTConfig):
        fields["stochastic_depth"] = recipe.stochastic_depth
        if recipe.dropout is not None:
            fields["dropout"] = recipe.dropout
        if recipe.mlp_head and recipe.objective == "classes":
            fields.setdefault("representation_size", fields.get("width", base.width))
    return model_config(recipe.model, **fields)


def _check_masked(recipe: PretrainRecipe, masked: MaskedConfig) -> None:
    """Raises `ConfigError` where a recipe's model cannot learn from masked images so."""
    config = pretraining_config(recipe, 0)
    if not isinstance(config, ViTConfig) or config.stem is not None:
        kind = "ResNet" if not isinstance(config, ViTConfig) else "hybrid"
        why = "a convolution sees across patches"
        raise ConfigError(f"objective masked is for a plain ViT, but {recipe.model} is a {kind}: {why}; choose a ViT-…")
    masked.hidden(config.grid[0] * config.grid[1])
    masked.outputs(config)


def _first_images(source: Source, preprocess: Preprocess, count: int, seed: int) -> torch.Tensor:
    """The images that training sees first, unchanged and normalised, (count, C, H, W)."""
    indices = [int(i) for i in permutation(seed, 0, len(source))[:count]]
    return preprocess.normalise(to_tensor([preprocess.pixels(image) for image in source.read_many(indices)]))


def crop_fraction(side: int) -> float:
    """Share kept of the resized image's side in evaluation: all of small images, 224 of 256 of photographs."""
    return 1.0 if side < 128 else 0.875
