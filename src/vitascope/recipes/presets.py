"""Named starting points for recipes: the rows of the paper's Tables 3 and 4, and some for small data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from vitascope.data.settings import AugmentConfig
from vitascope.models.masked_config import MaskedConfig
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe, Recipe

DEFAULT_EPOCHS: dict[type[Recipe], float] = {PretrainRecipe: 300.0, FinetuneRecipe: 20.0}
"""Length of a run for which nothing else was said: Table 3's for ImageNet; 20 passes for a folder of photographs."""

_SMALL_IMAGES = AugmentConfig(crop="shift", randaugment_layers=2, erasing=0.25, mixup=0.8, cutmix=1.0)

_SMALLER_RATES = (0.001, 0.003, 0.01, 0.03)


def _table_4(steps: int, rates: tuple[float, ...], *, holdout: float, warmup: float = 500.0) -> partial[FinetuneRecipe]:
    """A row of Table 4, with the part of the training set that its sweep chooses on (Appendix B.1.1).

    The warm-up is the official configs', 100 steps where there are 500. The rate for who does not sweep is the
    recipe's own, which is in every row. VTAB has one rate for all tasks, so nothing is held out.
    """
    return partial(
        FinetuneRecipe, steps=steps, batch=512, image_size=384, warmup=warmup, sweep_rates=rates, holdout=holdout
    )


# Rows of Table 3 that differ by model are named after it; those without are ViT-B's. Only ImageNet's was trained with
# clipping; the linear end, the sigmoid loss and the head bias that goes with it are the authors' later word.
_TABLE_3 = partial(PretrainRecipe, batch=4096, warmup=10_000.0)
_UNCLIPPED = partial(_TABLE_3, decay="linear", end_lr=1e-5, clip=0.0)
_JFT = partial(
    _UNCLIPPED, epochs=7.0, lr=8e-4, weight_decay=0.1, loss="sigmoid", model_fields={"head_bias": -10.0}, dropout=0.0
)
# Of JFT: epochs, the fewest where there are two, and rate.
_TABLE_3_BY_MODEL = {
    "ViT-L/32": (7.0, 6e-4),
    "ViT-L/16": (7.0, 4e-4),
    "ViT-H/14": (14.0, 3e-4),
    "BiT-R50x1": (7.0, 1e-3),
    "BiT-R50x2": (7.0, 1e-3),
    "BiT-R101x1": (7.0, 8e-4),
    "BiT-R152x1": (7.0, 6e-4),
    "BiT-R152x2": (7.0, 6e-4),
    "R50+ViT-B/16": (7.0, 8e-4),
    "R50+ViT-B/32": (7.0, 8e-4),
    "R50+ViT-L/32": (7.0, 2e-4),
    "R50+ViT-L/16": (7.0, 4e-4),
}
_OF_SMALL_MODELS = partial(PretrainRecipe, lr=1e-3, weight_decay=0.05, stochastic_depth=0.1)

# A model and an optimiser for photographs of 32 pixels on two CPU cores (results/cifar10_record/).
_OF_SMALL_PHOTOGRAPHS: dict[str, Any] = {
    "model": "ViT-Ti/4",
    "model_fields": {"width": 160, "depth": 6, "heads": 5, "hidden": 640, "class_token": False, "pooling": "mean"},
    "image_size": 32,
    "whiten": 2000,
    "zero_residuals": True,
    "batch": 64,
    "optimizer": "muon",
    "momentum": 0.95,
    "weight_decay": 0.05,
    "augment": AugmentConfig(crop="shift"),
}

PRESETS: dict[type[Recipe], dict[str, Callable[..., Recipe]]] = {
    PretrainRecipe: {
        "jft": _JFT,
        **{
            f"jft-{model}": partial(_JFT, model=model, epochs=epochs, lr=lr)
            for model, (epochs, lr) in _TABLE_3_BY_MODEL.items()
        },
        "imagenet21k": partial(_UNCLIPPED, epochs=90.0, lr=1e-3, weight_decay=0.03, dropout=0.1),
        "imagenet": partial(_TABLE_3, epochs=300.0, lr=3e-3, weight_decay=0.3, dropout=0.1),
        "small": partial(_OF_SMALL_MODELS, epochs=100.0, batch=128, label_smoothing=0.1, augment=_SMALL_IMAGES),
        # Meant for an hour of CIFAR-10 on two CPU cores; what has been tried and what has not: results/cifar10_record/.
        "record": partial(
            PretrainRecipe,
            **_OF_SMALL_PHOTOGRAPHS,
            mlp_head=False,
            drop_tokens=0.6,
            drop_tokens_for=0.75,
            epochs=13.0,  # 62 minutes at the 175 images a second, on average, that were measured
            lr=4e-3,
            decay="linear",
            label_smoothing=0.1,
            holdout=0.0,
        ),
        # The same model without labels, for the same machine; the encoder sees a quarter of the patches. Muon, its rate
        # and identity blocks were the best of short runs on digits and CIFAR-100, judged by features of few shots.
        "masked": partial(
            PretrainRecipe,
            **_OF_SMALL_PHOTOGRAPHS,
            objective="masked",
            epochs=40.0,
            betas=(0.9, 0.95),
            lr=1e-2,
        ),
        # Appendix B.1.2, which does not tell the weight decay: this is Table 3's for JFT. After a tenth of the steps
        # more of them gained little.
        "masked_patches": partial(
            _TABLE_3,
            objective="masked",
            masked=MaskedConfig(autoencoder=False, target="colour"),
            steps=1_000_000,
            lr=2e-4,
            weight_decay=0.1,
            clip=0.0,
        ),
        "fractals": partial(
            _OF_SMALL_MODELS,
            epochs=300.0,
            batch=256,
            augment=replace(_SMALL_IMAGES, crop="inception", crop_area=(0.2, 1.0)),
        ),
    },
    FinetuneRecipe: {
        "imagenet": _table_4(20_000, (0.003, 0.01, 0.03, 0.06), holdout=0.01),
        "cifar": _table_4(10_000, _SMALLER_RATES, holdout=0.02),
        "pets": _table_4(500, _SMALLER_RATES, holdout=0.1, warmup=100.0),
        "flowers": _table_4(500, _SMALLER_RATES, holdout=0.1, warmup=100.0),
        "vtab": _table_4(2_500, (0.01,), holdout=0.0),
        "small": partial(
            FinetuneRecipe,
            optimizer="adamw",
            batch=32,
            lr=5e-4,
            weight_decay=0.05,
            layer_decay=0.75,
            label_smoothing=0.1,
            augment=AugmentConfig(crop_area=(0.3, 1.0), randaugment_layers=2),
        ),
    },
}
"""Functions of what a recipe must be told (data, out, checkpoint), by kind and name."""
