"""Pre-training as a user gets it: the folder, what it learns, refusals, unreadable images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import vitascope as vs
from short_run import differ, weights
from tiny import CLASSES, FIELDS, image_folder, pixels, pretrain_recipe, source, splits
from vitascope.data.kept import ArraySource
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Splits
from vitascope.errors import ConfigError, DataError, ImageError
from vitascope.recipes.pretrain import crop_fraction, pretrain, pretraining_config

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_a_run_leaves_what_the_design_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with the picture, once
    out = tmp_path / "run"
    model = pretrain(pretrain_recipe(out, keep_checkpoints=1, ema=0.9), splits=splits())
    assert model == out / "model"
    assert {p.name for p in out.iterdir()} == {
        "config.yaml", "labels.json", "environment.json", "metrics.jsonl", "speed.jsonl", "results.json", "curves.png",
        "report.html", "answers.csv", "examples.json", "checkpoints", "model", ".lock",
    }  # fmt: skip
    assert {p.name for p in model.iterdir()} == {
        "model.safetensors",
        "config.json",
        "preprocessor.json",
        "README.md",
        "shown.bin",
    }
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert None not in [config[name] for name in ("steps", "eval_every", "save_every")]
    results = json.loads((out / "results.json").read_text())
    assert results["validation"]["images"] == 9
    assert results["steps"] == 8
    assert results["epochs"] == 2.4
    checkpoint = vs.load(out)
    assert checkpoint.labels == CLASSES
    assert checkpoint.config.representation_size == FIELDS["width"]  # the paper's pre-training head
    assert checkpoint.card["results"] == results
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [3, 6, 8]
    assert [line["step"] for line in lines if "validation" in line] == [4, 8]


def test_it_learns(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=40, batch=20, lr=0.01), splits=splits(40, 30))
    assert json.loads((out / "results.json").read_text())["validation"]["top1"] == 1.0


RESNET: dict[str, Any] = {
    "model": "BiT-R50x1",
    "model_fields": {"base_width": 32, "units": [1, 1, 1, 1], "small_images": True},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 18}, "18×18 is not divisible by 8"),
        ({"model": "ViT-Q/8"}, "no model 'ViT-Q/8'"),
        ({"model_fields": {"widht": 3}}, "did you mean 'width'"),
        ({"augment": AugmentConfig(crop="shift", pad_shift=16)}, "pad_shift"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({**RESNET, "dropout": 0.1}, "dropout is 0.1, but BiT-R50x1 is a ResNet, which has none; leave it out"),
        ({**RESNET, "stochastic_depth": 0.2}, "stochastic_depth is 0.2, but BiT-R50x1 is a ResNet"),
        ({**RESNET, "drop_tokens": 0.5}, "drop_tokens is 0.5, but BiT-R50x1 is a ResNet"),
        ({**RESNET, "whiten": 5}, "whiten is 5, but BiT-R50x1 is a ResNet"),
        ({**RESNET, "zero_residuals": True}, "zero_residuals is True, but BiT-R50x1 is a ResNet"),
        ({"tensorboard": True}, "tensorboard"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_there_is_a_folder(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=message):
        pretrain(pretrain_recipe(out, **changes), splits=splits())
    assert not out.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Splits(test=source()), "no training images"),
        (Splits(train=ArraySource("one", ("ant",), np.zeros(4, np.int64), pixels(4)[0])), "one class, 'ant'"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(data: Splits, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        pretrain(pretrain_recipe(tmp_path / "run"), splits=data)


def test_grey_models_are_whitened_from_colour_images(tmp_path: Path) -> None:
    recipe = pretrain_recipe(tmp_path / "run", model_fields={**FIELDS, "channels": 1}, whiten=5, steps=1)
    model = pretrain(recipe, splits=splits())
    assert weights(model)["patches.projection.weight"].shape == (32, 1, 8, 8)


def test_images_that_are_not_square_fit_too(tmp_path: Path) -> None:
    fields = {**FIELDS, "image_size": [8, 24]}
    model = pretrain(pretrain_recipe(tmp_path / "run", model_fields=fields, image_size=None, steps=1), splits=splits())
    assert vs.load(model).preprocess.size == (8, 24)


def test_a_part_is_held_out_where_there_is_no_validation(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=1, holdout=0.3), splits=Splits(train=source(20)))
    results = json.loads((out / "results.json").read_text())
    assert (results["train_images"], results["validation"]["images"]) == (14, 6)
    pretrain(pretrain_recipe(tmp_path / "all", steps=1, holdout=0.0), splits=Splits(train=source(20)))
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert results["train_images"] == 20
    assert "validation" not in results


def test_a_resnet_trains_by_the_same_loop(tmp_path: Path) -> None:
    model = pretrain(pretrain_recipe(tmp_path / "run", **RESNET, dropout=0.0, steps=2), splits=splits())
    assert vs.load(model).config.classes == 3


@pytest.fixture
def broken_folder(tmp_path: Path) -> Path:
    folder = image_folder(tmp_path / "images")
    (folder / "bee" / "text.jpg").write_text("no image")
    (folder / "cat" / "empty.png").write_bytes(b"")
    whole = (folder / "ant" / "000.png").read_bytes()
    (folder / "ant" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize("budget", ["2G", "0"])
def test_an_unreadable_image_stops_training_by_name(broken_folder: Path, tmp_path: Path, budget: str) -> None:
    recipe = pretrain_recipe(tmp_path / "run", data=str(broken_folder), memory_budget=budget, holdout=0.0)
    with pytest.raises(ImageError, match=r"(text\.jpg|empty\.png|truncated\.png)"):
        pretrain(recipe)


@pytest.mark.parametrize("budget", ["2G", "0"])
def test_unreadable_images_are_left_out_and_counted_where_asked_for(
    broken_folder: Path, tmp_path: Path, budget: str, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    recipe = pretrain_recipe(out, data=str(broken_folder), memory_budget=budget, holdout=0.0, on_error="skip")
    skipped = weights(pretrain(recipe))
    results = json.loads((out / "results.json").read_text())
    assert (results["train_images"], results["unreadable"]) == (20, 3)
    assert "3 of 23 images left out as unreadable" in caplog.text
    clean = pretrain_recipe(tmp_path / "clean", data=str(image_folder(tmp_path / "clean_images")), holdout=0.0)
    assert not differ(weights(pretrain(clean)), skipped)


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({"classes": 9}, {}, "model_fields has classes 9; the data decides: leave it out"),
        ({"stochastic_depth": 0.1}, {}, "model_fields has stochastic_depth 0.1; give it as --stochastic-depth"),
        ({"dropout": 0.1}, {"dropout": 0.2}, "model_fields has dropout 0.1; give it as --dropout"),
        ({"image_size": 32}, {}, "model_fields has image_size 32; give it as --image-size"),
    ],
)
def test_what_would_be_overwritten_among_the_models_fields_is_refused(
    fields: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain(pretrain_recipe(tmp_path / "run", model_fields={**FIELDS, **fields}, **options), splits=splits())
    assert not (tmp_path / "run").exists()
    left = pretraining_config(pretrain_recipe(tmp_path, model_fields={**FIELDS, "dropout": 0.25}), 3)
    assert getattr(left, "dropout", None) == 0.25  # no option was given, so the field counts


def test_small_images_are_not_cropped_in_evaluation() -> None:
    assert [crop_fraction(side) for side in (32, 127, 128, 224)] == [1.0, 1.0, 0.875, 0.875]
