"""Every setting of pre-training does something: what changes the weights and what does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from short_run import BASE, differ, weights
from tiny import FIELDS, PLAIN, RICH, pretrain_recipe, splits
from vitascope.data.settings import AugmentConfig
from vitascope.recipes.pretrain import pretrain
from vitascope.training.state import saved_states
from vitascope.training.train_settings import TrainSettings

pytestmark = pytest.mark.usefixtures("no_pictures")


# Every setting, a value other than the test's recipe has, and whether the weights must change with it.
CHANGES: dict[str, tuple[Any, bool]] = {
    "steps": (4, True),
    "batch": (7, True),
    "micro_batch": (2, False),
    "optimizer": ("sgd", True),
    "lr": (0.02, True),
    "warmup": (0.9, True),
    "decay": ("constant", True),
    "end_lr": (0.001, True),
    "betas": ((0.5, 0.6), True),
    "weight_decay": (0.0, True),
    "layer_decay": (0.5, True),
    "clip": (0.01, True),
    "loss": ("sigmoid", True),
    "label_smoothing": (0.3, True),
    "ema": (0.5, True),
    "precision": ("bfloat16", True),
    "drop_tokens": (0.5, True),
    "workers": (1, False),
    "memory_budget": ("0", False),
    "seed": (1, True),
    "log_every": (1, False),
    "eval_every": (1, False),
    "save_every": (100, False),
    "keep_checkpoints": (1, False),
    "checkpoint_activations": (True, False),
    "augment": (AugmentConfig(crop="none", flip=True), True),
}


# Tested on their own, here or elsewhere.
ELSEWHERE = {
    "epochs",
    "time_budget",
    "momentum",
    "keep",
    "compile",
    "tensorboard",
    "drop_tokens_for",
    "best_by",
    "patience",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    pretrain(pretrain_recipe(out, **BASE), splits=splits())
    patch.undo()
    return out


def test_every_training_setting_is_among_those_tested() -> None:
    assert {f.name for f in dataclasses.fields(TrainSettings)} == set(CHANGES) | ELSEWHERE


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_does_something(name: str, base: Path, tmp_path: Path) -> None:
    value, changes_weights = CHANGES[name]
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, **{**BASE, name: value}), splits=splits())
    if changes_weights:
        assert differ(weights(out / "model"), weights(base / "model"))
        return
    if name == "micro_batch":  # the sum of the parts, to rounding
        for key, tensor in weights(base / "model").items():
            torch.testing.assert_close(weights(out / "model")[key], tensor, rtol=0, atol=1e-3)
    else:
        assert not differ(weights(out / "model"), weights(base / "model"))
    lines = len((out / "metrics.jsonl").read_text().splitlines())
    if name in ("log_every", "eval_every"):
        assert lines > len((base / "metrics.jsonl").read_text().splitlines())
    if name in ("save_every", "keep_checkpoints"):
        kept = [[p.name for p in saved_states(run / "checkpoints")] for run in (base, out)]
        assert kept == [["step-00000004", "step-00000005"], ["step-00000005"]]


def test_momentum_is_that_of_sgd(base: Path, tmp_path: Path) -> None:
    results = []
    for momentum in (0.9, 0.0):
        out = tmp_path / str(momentum)
        pretrain(pretrain_recipe(out, **{**BASE, "optimizer": "sgd", "momentum": momentum}), splits=splits())
        results.append(weights(out / "model"))
    assert differ(*results)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 0.3),
        ("stochastic_depth", 0.9),
        ("image_size", 24),
        ("mlp_head", False),
        ("whiten", 5),
        ("zero_residuals", True),
        ("model_fields", {**FIELDS, "heads": 4}),
    ],
)
def test_every_setting_of_the_model_does_something(name: str, value: Any, base: Path, tmp_path: Path) -> None:
    model = pretrain(pretrain_recipe(tmp_path / "run", **{**BASE, name: value}), splits=splits())
    assert differ(weights(model), weights(base / "model"))


def test_augmentation_is_that_of_the_recipe(tmp_path: Path) -> None:
    runs = [
        weights(pretrain(pretrain_recipe(tmp_path / str(i), **{**BASE, "augment": augment}), splits=splits()))
        for i, augment in enumerate((PLAIN, RICH, RICH))
    ]
    assert differ(runs[0], runs[1])
    assert not differ(runs[1], runs[2])
