"""Fine-tuning (Section 3.2, Table 4): a new zero head, higher resolution, positions resized."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from vitascope.checkpoints.adapt import assemble, replace_head, resize_model
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.load import load
from vitascope.data.source import Splits
from vitascope.models.bit import BiT
from vitascope.models.config import ViTConfig
from vitascope.models.vit import ViT
from vitascope.recipes.plan import Limits
from vitascope.recipes.prepare import prepare_data
from vitascope.recipes.recipe import FinetuneRecipe, refuse_regularisation
from vitascope.recipes.run import run
from vitascope.recipes.run_folder import Resume, decide
from vitascope.training.observer import Observer
from vitascope.training.parallel import world

log = logging.getLogger(__name__)


def finetune(
    recipe: FinetuneRecipe,
    *,
    splits: Splits | None = None,
    resume: Resume = False,
    overwrite: bool = False,
    observer: Observer | None = None,
    limits: Limits | None = None,
) -> Path:
    """Fine-tunes a checkpoint; returns the folder that holds the result (RUN/model).

    `splits` stands in for `recipe.data`; `recipe.sweep` is the business of `sweep.finetune_with_sweep`. Raises
    `UserError` for what the user can mend, `Stopped` after a signal, `DivergedError`.
    """
    if recipe.time_budget is not None:
        limits = limits or Limits()
    with world(recipe.device) as w:
        going_on = decide(Path(recipe.out), w, resume=resume, overwrite=overwrite, sources=(recipe.checkpoint,))
        with w.together():
            checkpoint = load(recipe.checkpoint)
            data = prepare_data(recipe, splits, observer)
            model = model_to_finetune(recipe, checkpoint, len(data.classes))
        preprocess = checkpoint.preprocess.with_size(model.config.image_size)
        card = {"task": "fine-tuning", "data": recipe.data, "checkpoint": recipe.checkpoint, "origin": checkpoint.card}
        return run(
            recipe,
            data,
            model,
            preprocess,
            w,
            card=card,
            before=checkpoint.shown,
            resume=going_on,
            overwrite=overwrite,
            observer=observer,
            limits=limits,
        )


def model_to_finetune(recipe: FinetuneRecipe, checkpoint: Checkpoint, classes: int) -> ViT | BiT:
    """The checkpoint's model at the recipe's image size, with a zero head and the recipe's regularisation."""
    model = checkpoint.model
    if recipe.image_size is not None:
        model = resize_model(model, recipe.image_size)
    log.info("new zero head for %d classes in place of the checkpoint's %d", classes, model.config.classes)
    model = replace_head(model, classes)
    config = model.config
    if isinstance(config, ViTConfig):
        dropout = config.dropout if recipe.dropout is None else recipe.dropout
        config = dataclasses.replace(config, dropout=dropout, stochastic_depth=recipe.stochastic_depth)
    else:
        refuse_regularisation(recipe, recipe.checkpoint)
    return assemble(config, model.state_dict())
