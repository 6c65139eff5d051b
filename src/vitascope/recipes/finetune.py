"""Fine-tuning (Section 3.2, Table 4): a new zero head, higher resolution, positions resized."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Unpack

import torch

from vitascope.checkpoints.adapt import assemble, replace_head, resize_model, with_outputs
from vitascope.checkpoints.checkpoint import Activation, Checkpoint
from vitascope.checkpoints.load import load, new_head
from vitascope.models.bit import BiT
from vitascope.models.config import ViTConfig
from vitascope.models.learned import learned
from vitascope.models.partly import partly
from vitascope.models.vit import ViT
from vitascope.recipes.choose import with_start
from vitascope.recipes.prepare import RunData
from vitascope.recipes.recipe import FinetuneRecipe, refuse_of_vits
from vitascope.recipes.run import How, Start, run
from vitascope.streams import Stream, seed_of
from vitascope.teaching.lesson import TASK as TEACHING
from vitascope.training.objective import classification

log = logging.getLogger(__name__)


def finetune(recipe: FinetuneRecipe, **how: Unpack[How]) -> Path:
    """Fine-tunes a checkpoint; returns the folder that holds the result (RUN/model).

    `recipe.sweep` is the business of `sweep.finetune_with_sweep`. For `how` and what is raised see `run`.
    """
    recipe = with_start(recipe, how)
    return run(recipe, partial(_begin, recipe), (recipe.checkpoint,), **how)


def _begin(recipe: FinetuneRecipe, prepare: Callable[[], RunData]) -> Start:
    checkpoint = load(recipe.checkpoint)
    data = prepare()
    kind = classification(data.train)
    model = model_to_finetune(recipe, checkpoint, data.classes, kind.activation)
    part = learned(recipe.train)
    drawn = torch.Generator().manual_seed(seed_of(Stream.FACTORS, recipe.seed))
    model = partly(model, part, drawn)
    preprocess = checkpoint.preprocess.with_size(model.config.image_size)
    card = {"task": "fine-tuning", "data": recipe.data, "checkpoint": recipe.checkpoint, "origin": checkpoint.card}
    return Start(
        data=data,
        model=model,
        preprocess=preprocess,
        card=card,
        before=checkpoint.shown,
        learned=part,
        kind=kind,
    )


def model_to_finetune(
    recipe: FinetuneRecipe, checkpoint: Checkpoint, classes: tuple[str, ...], activation: Activation = "softmax"
) -> ViT | BiT:
    """The checkpoint's model at the recipe's image size, with the recipe's regularisation and a zero head.

    A head that was taught these very classes is kept: from a zero one, the first steps would move features that are
    right already (Kumar et al., 2022).
    """
    model = checkpoint.model
    if recipe.image_size is not None:
        model = resize_model(model, recipe.image_size)
    alike = checkpoint.activation == activation and set(classes) == set(checkpoint.labels)
    if checkpoint.card.get("task") == TEACHING and alike:
        log.info("the head that was taught these %d classes is kept", len(classes))
        model = with_outputs(model, [checkpoint.labels.index(name) for name in classes])
    else:
        log.info("%s", new_head(len(classes), model.config.classes))
        model = replace_head(model, len(classes))
    config = model.config
    if isinstance(config, ViTConfig):
        dropout = config.dropout if recipe.dropout is None else recipe.dropout
        config = dataclasses.replace(config, dropout=dropout, stochastic_depth=recipe.stochastic_depth)
    else:
        refuse_of_vits(recipe, recipe.checkpoint)
    return assemble(config, model.state_dict())
