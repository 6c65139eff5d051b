"""Presets: the rows of the paper's tables, and all of them make recipes."""

from __future__ import annotations

from typing import Any

import pytest

from vitascope.models.catalogue import SIZES, architecture_name
from vitascope.models.config import ViTConfig
from vitascope.recipes.presets import DEFAULT_EPOCHS, PRESETS
from vitascope.recipes.pretrain import pretraining_config
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe, Recipe

NEEDED: dict[type[Recipe], dict[str, Any]] = {
    PretrainRecipe: {"data": "d", "out": "o"},
    FinetuneRecipe: {"data": "d", "out": "o", "checkpoint": "c"},
}


def pretraining(name: str) -> PretrainRecipe:
    recipe = PRESETS[PretrainRecipe][name](data="d", out="o")
    assert isinstance(recipe, PretrainRecipe)
    return recipe


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, rows in PRESETS.items() for name in rows])
def test_every_preset_makes_a_recipe_with_its_values(kind: type[Recipe], name: str) -> None:
    recipe = PRESETS[kind][name](**NEEDED[kind])
    assert isinstance(recipe, kind)
    assert recipe != kind(**NEEDED[kind])


@pytest.mark.parametrize(
    ("name", "epochs", "lr", "decay", "weight_decay", "dropout", "clip"),
    [
        ("jft", 7, 8e-4, "linear", 0.1, 0.0, 0.0),
        ("imagenet21k", 90, 1e-3, "linear", 0.03, 0.1, 0.0),
        ("imagenet", 300, 3e-3, "cosine", 0.3, 0.1, 1.0),
    ],
)
def test_pretraining_is_table_3_for_the_base_model(
    name: str, epochs: float, lr: float, decay: str, weight_decay: float, dropout: float, clip: float
) -> None:
    r = pretraining(name)
    assert (r.epochs, r.lr, r.decay, r.weight_decay, r.dropout) == (epochs, lr, decay, weight_decay, dropout)
    assert r.clip == clip
    assert (r.batch, r.warmup, r.optimizer, r.betas) == (4096, 10_000, "adamw", (0.9, 0.999))


@pytest.mark.parametrize(
    ("model", "epochs", "lr"),
    [
        ("ViT-L/32", 7, 6e-4),
        ("ViT-L/16", 7, 4e-4),
        ("ViT-H/14", 14, 3e-4),
        ("BiT-R50x1", 7, 1e-3),
        ("BiT-R50x2", 7, 1e-3),
        ("BiT-R101x1", 7, 8e-4),
        ("BiT-R152x1", 7, 6e-4),
        ("BiT-R152x2", 7, 6e-4),
        ("R50+ViT-B/16", 7, 8e-4),
        ("R50+ViT-B/32", 7, 8e-4),
        ("R50+ViT-L/32", 7, 2e-4),
        ("R50+ViT-L/16", 7, 4e-4),
    ],
)
def test_pretraining_is_table_3_for_every_other_model(model: str, epochs: float, lr: float) -> None:
    r = pretraining(f"jft-{model}")
    assert (r.model, r.epochs, r.lr, r.decay, r.weight_decay, r.dropout) == (model, epochs, lr, "linear", 0.1, 0.0)
    assert (r.batch, r.warmup, r.loss, r.clip) == (4096, 10_000, "sigmoid", 0.0)
    config = pretraining_config(r, 18_291)
    assert config.head_bias == -10.0
    assert architecture_name(config) == model


def test_masked_patches_are_those_of_the_appendix() -> None:
    r = pretraining("masked_patches")
    assert (r.batch, r.warmup, r.steps, r.lr, r.decay, r.optimizer) == (
        4096,
        10_000,
        1_000_000,
        2e-4,
        "cosine",
        "adamw",
    )
    assert (r.objective, r.masked.autoencoder, r.masked.hidden_share, r.masked.target) == (
        "masked",
        False,
        0.5,
        "colour",
    )


def test_a_sigmoid_loss_over_many_classes_starts_from_a_low_bias() -> None:
    recipe = pretraining("jft")
    assert recipe.loss == "sigmoid"
    assert pretraining_config(recipe, 18_291).head_bias == -10.0


@pytest.mark.parametrize(
    ("name", "steps", "rates", "holdout", "warmup"),
    [
        ("imagenet", 20_000, (0.003, 0.01, 0.03, 0.06), 0.01, 500),
        ("cifar", 10_000, (0.001, 0.003, 0.01, 0.03), 0.02, 500),
        ("pets", 500, (0.001, 0.003, 0.01, 0.03), 0.1, 100),
        ("flowers", 500, (0.001, 0.003, 0.01, 0.03), 0.1, 100),
        ("vtab", 2_500, (0.01,), 0.0, 500),
    ],
)
def test_finetuning_is_table_4(name: str, steps: int, rates: tuple[float, ...], holdout: float, warmup: float) -> None:
    r = PRESETS[FinetuneRecipe][name](checkpoint="c", data="d", out="o")
    assert (r.steps, r.sweep_rates, r.holdout, r.warmup) == (steps, rates, holdout, warmup)
    assert (r.optimizer, r.momentum, r.decay, r.clip, r.weight_decay, r.batch) == ("sgd", 0.9, "cosine", 1.0, 0.0, 512)
    assert r.image_size == 384
    assert r.lr in r.sweep_rates  # who does not sweep gets one of the row's rates


def test_what_is_said_without_a_preset_is_the_papers_too() -> None:
    assert PretrainRecipe(data="d", out="o").weight_decay == 0.3
    assert FinetuneRecipe(data="d", out="o", checkpoint="c").optimizer == "sgd"
    assert DEFAULT_EPOCHS[PretrainRecipe] == 300
    assert SIZES["B"].dropout == 0.0


def test_the_record_is_a_plain_vit_that_sees_every_training_image() -> None:
    recipe = pretraining("record")
    config = pretraining_config(recipe, 10)
    assert isinstance(config, ViTConfig)
    assert config.stem is None
    assert (config.pooling, config.grid, config.tokens) == ("mean", (8, 8), 64)
    assert config.representation_size is None
    assert recipe.holdout == 0.0
    assert recipe.whiten > 0
