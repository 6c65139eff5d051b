"""Settings: what is refused, what a config file holds, what a resume may change."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiny import pretrain_recipe
from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError
from vitascope.models.masked_config import MaskedConfig
from vitascope.recipes.recipe import FinetuneRecipe, PretrainRecipe, differences, fixed, to_dict
from vitascope.training.train_settings import TrainSettings, memory_bytes, seconds

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, "steps is 0"),
    ({"epochs": 0.0}, "epochs is 0"),
    ({"epochs": -1.0}, "epochs is -1"),
    ({"steps": 5, "epochs": 2.0}, "only one"),
    ({"steps": 5, "time_budget": "9s"}, "only one"),
    ({"time_budget": "soon"}, "such as 90s, 10m or 2h"),
    ({"time_budget": "0s"}, "such as 90s"),
    ({"batch": 0}, "batch is 0"),
    ({"micro_batch": 0}, "micro_batch is 0"),
    ({"lr": -0.1}, "lr is -0.1"),
    ({"lr": 0.0}, "lr is 0"),
    ({"lr": 0.1, "end_lr": 0.2}, "above lr"),
    ({"end_lr": -0.1}, "end_lr"),
    ({"warmup": -1.0}, "warmup"),
    ({"weight_decay": -0.1}, "weight_decay"),
    ({"clip": -1.0}, "clip"),
    ({"workers": -1}, "workers"),
    ({"seed": -1}, "seed"),
    ({"label_smoothing": 1.0}, "label_smoothing"),
    ({"ema": 1.0}, "ema"),
    ({"momentum": 1.0}, "momentum"),
    ({"layer_decay": 0.0}, "layer_decay"),
    ({"layer_decay": 1.1}, "layer_decay"),
    ({"betas": (0.9, 1.0)}, "betas"),
    ({"memory_budget": "plenty"}, "such as 500M, 2G or 0"),
    ({"log_every": 0}, "log_every"),
    ({"eval_every": 0}, "eval_every"),
    ({"save_every": 0}, "save_every"),
    ({"keep_checkpoints": 0}, "keep_checkpoints"),
    ({"lr": float("nan")}, "lr is nan"),
    ({"weight_decay": float("inf")}, "weight_decay is inf"),
    ({"epochs": float("inf")}, "epochs is inf"),
    ({"epochs": 0.0}, "epochs is 0, expected a number above 0"),
    ({"momentum": 0.5}, "momentum is 0.5, but adamw has none; leave it at 0.9"),
    ({"optimizer": "sgd", "betas": (0.5, 0.9)}, "betas is .*, but sgd has none"),
    ({"drop_tokens_for": 0.5}, "drop_tokens_for is 0.5, but no tokens are dropped"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_values_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"holdout": 1.0}, "holdout"),
        ({"holdout": -0.1}, "holdout"),
        ({"whiten": -1}, "whiten is -1"),
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": (8, -8)}, "image_size is .8, -8.*height, width"),
        ({"image_size": (8, 8, 8)}, "image_size is .8, 8, 8"),
    ],
)
def test_recipes_refuse_what_cannot_be(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain_recipe(tmp_path, **values)


def test_times_and_sizes() -> None:
    assert [seconds(t) for t in ("90s", "10m", "2h", "1.5h", "3 min")] == [90, 600, 7200, 5400, 180]
    assert [memory_bytes(t) for t in ("0", "500M", "2G", "1.5K", "7")] == [0, 500 * 2**20, 2**31, 1536, 7]


def test_settings_import_no_torch() -> None:
    code = "import sys, vitascope.recipes.presets, vitascope.recipes.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", [PretrainRecipe, FinetuneRecipe])
def test_every_field_is_explained(kind: type) -> None:
    from docstring_parser import parse_from_object

    explained = {p.arg_name for cls in kind.__mro__[:-1] for p in parse_from_object(cls).params if p.description}
    assert {f.name for f in dataclasses.fields(kind)} <= explained


def test_a_recipe_survives_its_config_file(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"betas": (0.8, 0.9), "image_size": (16, 24)}
    recipe = pretrain_recipe(tmp_path, augment=AugmentConfig(crop_area=(0.3, 0.9)), **changes)
    values = yaml.safe_load(yaml.safe_dump(to_dict(recipe)))
    assert set(values) == {f.name for f in dataclasses.fields(recipe)}
    values |= {"augment": AugmentConfig(**values["augment"]), "masked": MaskedConfig(**values["masked"])}
    tuples = {name: tuple(values[name]) for name in ("betas", "mean", "std", "image_size")}
    assert PretrainRecipe(**{**values, **tuples}) == recipe


def stored(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """What `run` writes: everything resolved."""
    return to_dict(pretrain_recipe(tmp_path, save_every=2, **changes))


def test_the_same_recipe_has_no_differences(tmp_path: Path) -> None:
    assert differences(stored(tmp_path), pretrain_recipe(tmp_path)) == []


FREE = {
    "out", "device", "workers", "memory_budget", "disk_budget", "keep_checkpoints", "save_every", "tensorboard",
    "micro_batch", "checkpoint_activations", "epochs", "time_budget", "data", "on_error",
    "keep_examples",
}  # fmt: skip
CHANGED: dict[str, Any] = {
    "image_size": 32, "holdout": 0.5, "group": "patient", "shrink": 300, "steps": 9, "batch": 7,
    "optimizer": "sgd", "lr": 0.5, "warmup": 0.5, "decay": "linear", "end_lr": 1e-4, "betas": (0.5, 0.5),
    "momentum": 0.5, "weight_decay": 0.5, "layer_decay": 0.5, "clip": 0.5, "loss": "sigmoid",
    "label_smoothing": 0.5, "ema": 0.5, "keep": "best", "precision": "bfloat16", "compile": True, "seed": 5,
    "log_every": 5, "eval_every": 5, "augment": AugmentConfig(flip=False), "model": "ViT-S/8",
    "model_fields": {"depth": 1}, "mlp_head": False, "dropout": 0.5, "stochastic_depth": 0.5,
    "mean": (0.4,), "std": (0.4,), "whiten": 9, "zero_residuals": True, "drop_tokens": 0.5, "drop_tokens_for": 0.5,
    "objective": "masked", "masked": MaskedConfig(share=0.5), "best_by": "loss", "patience": 3,
}  # fmt: skip


NEEDS: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": "sgd"},
    "best_by": {"keep": "best"},
    "patience": {"keep": "best"},
    "drop_tokens_for": {"drop_tokens": 0.5},
    "masked": {"objective": "masked"},
}
"""Without which the field means nothing."""


def test_every_field_is_either_free_at_a_resume_or_compared() -> None:
    assert {f.name for f in dataclasses.fields(PretrainRecipe)} == FREE | set(CHANGED)


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_setting_is_listed(name: str, tmp_path: Path) -> None:
    base = NEEDS.get(name, {})
    (said,) = differences(stored(tmp_path, **base), pretrain_recipe(tmp_path, **base, **{name: CHANGED[name]}))
    assert said.startswith(f"{name}: ")
    assert ", was " in said


def test_what_an_earlier_version_did_not_know_is_told_only_where_it_is_used(tmp_path: Path) -> None:
    assert not {"objective", "masked", "group"} & fixed(pretrain_recipe(tmp_path)).keys()
    assert fixed(pretrain_recipe(tmp_path, group="patient"))["group"] == "patient"
    told = fixed(pretrain_recipe(tmp_path, objective="masked", masked=MaskedConfig(share=0.5)))
    assert told["objective"] == "masked"
    assert told["masked"]["share"] == 0.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"masked": MaskedConfig(share=0.5)}, "share is 0.5, but the objective is classes; give --objective masked"),
        ({"objective": "masked", "loss": "sigmoid"}, "loss is 'sigmoid', but the objective is masked"),
        ({"objective": "masked", "label_smoothing": 0.1}, "label_smoothing is 0.1, but the objective is masked"),
        ({"objective": "masked", "mlp_head": False}, "mlp_head is False, but the objective is masked"),
        ({"objective": "masked", "drop_tokens": 0.5}, "drop_tokens is 0.5, but the objective is masked"),
        ({"objective": "masked", "augment": AugmentConfig(mixup=0.5)}, "mixup is 0.5, but the objective is masked"),
    ],
)
def test_what_an_objective_would_ignore_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        pretrain_recipe(tmp_path, **changes)


def test_a_run_older_than_an_option_had_its_default(tmp_path: Path) -> None:
    before = stored(tmp_path)
    for name in ("drop_tokens", "betas", "objective", "masked", "group"):
        del before[name]
    assert differences(before, pretrain_recipe(tmp_path)) == []
    changed = pretrain_recipe(tmp_path, drop_tokens=0.5, betas=(0.5, 0.5))
    assert differences(before, changed) == ["betas: [0.5, 0.5], was [0.9, 0.999]", "drop_tokens: 0.5, was 0.0"]


@pytest.mark.parametrize("name", ["dropout", "image_size"])
def test_leaving_out_what_was_given_is_a_change(name: str, tmp_path: Path) -> None:
    # Otherwise the run would go on with the catalogue's value.
    before = stored(tmp_path, **{name: CHANGED[name]})
    assert len(differences(before, pretrain_recipe(tmp_path, **{name: None}))) == 1


@pytest.mark.parametrize(("name", "unset"), [("precision", "auto"), ("eval_every", None), ("steps", None)])
def test_what_the_first_start_decided_need_not_be_repeated(name: str, unset: Any, tmp_path: Path) -> None:
    assert differences(stored(tmp_path), pretrain_recipe(tmp_path, **{name: unset})) == []


def test_all_differences_are_listed(tmp_path: Path) -> None:
    said = differences(stored(tmp_path), pretrain_recipe(tmp_path, lr=0.5, seed=5))
    assert said == ["lr: 0.5, was 0.003", "seed: 5, was 0"]
