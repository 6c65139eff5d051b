"""Fine-tuning: a zero head, another resolution, and a checkpoint that is not changed by it."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import vitascope as vs
from tiny import CLASSES, SIDE, evaluated, finetune_recipe, image_folder, pixels, pretrain_recipe, splits
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.cli import main
from vitascope.data.kept import ArraySource
from vitascope.data.preprocess import Preprocess
from vitascope.data.source import Splits
from vitascope.errors import CheckpointError, ConfigError, Stopped
from vitascope.recipes.finetune import finetune, model_to_finetune
from vitascope.recipes.pretrain import pretrain

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    pretrain(pretrain_recipe(out, dropout=0.1), splits=splits())
    patch.undo()
    return out


def test_a_run_in_bfloat16_says_what_evaluate_says(pretrained: Path, tmp_path: Path) -> None:
    for n, split in enumerate(("train", "val")):
        image_folder(tmp_path / "data" / split, 12, seed=n)
    recipe = finetune_recipe(tmp_path / "run", pretrained, data=str(tmp_path / "data"), precision="bfloat16")
    finetune(recipe)
    said = json.loads((tmp_path / "run" / "results.json").read_text())["validation"]
    again = evaluated(str(tmp_path / "run"), str(tmp_path / "data"), split="validation")
    assert said["top1"] == again["top1"]
    assert said["loss"] == pytest.approx(again["loss"], rel=1e-6)


TWO = ("left", "right")


def two_classes() -> Splits:
    images, labels = pixels(16)
    return Splits(train=ArraySource("two", TWO, labels % 2, images))


def test_a_start_without_a_head_is_called_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "vitascope")
    headless = checkpoint(dataclasses.replace(TINY, classes=0))
    model_to_finetune(finetune_recipe(tmp_path, tmp_path / "any"), headless, classes=TWO)
    assert "new zero head for 2 classes on a checkpoint that had no head" in caplog.text


def test_it_starts_with_a_zero_head_and_the_checkpoints_features(
    pretrained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "vitascope")
    before = vs.load(pretrained)
    model = model_to_finetune(finetune_recipe(tmp_path, pretrained), vs.load(pretrained), classes=TWO).eval()
    assert "new zero head for 2 classes in place of the checkpoint's 3" in caplog.text
    images = torch.rand(4, 3, SIDE, SIDE)
    assert torch.equal(model(images), torch.zeros(4, 2))
    # The hidden layer of the pre-training head goes with it (Section 3.2).
    assert model.config.representation_size is None
    torch.testing.assert_close(model.tokens(images), before.model.tokens(images))


def test_regularisation_is_the_recipes(pretrained: Path, tmp_path: Path) -> None:
    same = model_to_finetune(finetune_recipe(tmp_path, pretrained), vs.load(pretrained), TWO)
    assert (same.config.dropout, same.config.stochastic_depth) == (0.1, 0.0)
    recipe = finetune_recipe(tmp_path, pretrained, dropout=0.0, stochastic_depth=0.2)
    other = model_to_finetune(recipe, vs.load(pretrained), TWO)
    assert (other.config.dropout, other.config.stochastic_depth) == (0.0, 0.2)


@pytest.mark.parametrize("name", ["dropout", "stochastic_depth"])
def test_a_resnet_is_not_said_to_have_what_it_has_not(name: str, tmp_path: Path) -> None:
    resnet = vs.create_model("BiT-R50x1", base_width=32, units=(1, 1, 1, 1), small_images=True, classes=3)
    checkpoint = Checkpoint(model=resnet, preprocess=Preprocess(size=(SIDE, SIDE)), labels=CLASSES)
    with pytest.raises(ConfigError, match=rf"{name} is 0\.1, but pretrained is a ResNet, which has none; leave it out"):
        model_to_finetune(finetune_recipe(tmp_path, "pretrained", **{name: 0.1}), checkpoint, TWO)
    plain = model_to_finetune(finetune_recipe(tmp_path, "pretrained", **{name: 0.0}), checkpoint, TWO)
    assert plain.config.classes == 2


def test_other_classes_at_a_higher_resolution(pretrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = finetune(finetune_recipe(out, pretrained, image_size=32, lr=0.1, steps=30), splits=two_classes())
    checkpoint = vs.load(model)
    assert checkpoint.labels == ("left", "right")
    assert checkpoint.config.image_size == (32, 32)
    assert checkpoint.preprocess.size == (32, 32)
    assert checkpoint.card["origin"]["task"] == "pre-training"
    results = json.loads((out / "results.json").read_text())
    assert results["train_images"] + results["validation"]["images"] == 16
    assert vs.load(pretrained).labels == CLASSES


def test_images_need_not_be_square(pretrained: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "run", image_folder(tmp_path / "images", 12)
    rest = [str(pretrained), str(data), "--steps=2", "--batch=4", "--precision=float32", "--device=cpu"]
    assert main(["finetune", *rest, "--image-size=[16,24]", "--out", str(out)]) == 0
    checkpoint = vs.load(out)
    assert checkpoint.config.image_size == checkpoint.preprocess.size == (16, 24)
    before, after = vs.load(pretrained).model.state_dict(), checkpoint.model.state_dict()
    table = "embedding.positions.table"  # a class row and 2×2 patches, then 2×3
    assert (before[table].shape[-2], after[table].shape[-2]) == (5, 7)
    assert yaml.safe_load((out / "config.yaml").read_text())["image_size"] == [16, 24]
    # Its own config file resumes it, and another size is another run.
    assert main(["finetune", "--config", str(out / "config.yaml"), "--resume"]) == 0
    assert main(["finetune", *rest, "--image-size=16", "--resume", "--out", str(out)]) == 2
    figures = [evaluated(str(out), str(data), image_size=size) for size in (None, (16, 24), (24, 8), 16)]
    assert figures[0] == figures[1]
    assert [f["images"] for f in figures] == [12] * 4
    assert len({f["loss"] for f in figures}) == 3


def test_a_size_that_does_not_fit_the_patch_is_refused_with_both_numbers(pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="20×20 is not divisible by 8"):
        finetune(finetune_recipe(tmp_path / "run", pretrained, image_size=20), splits=two_classes())
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        finetune(finetune_recipe(tmp_path / "run", tmp_path / "nowhere"), splits=two_classes())


def test_layer_decay_keeps_the_lower_layers_nearer_to_the_checkpoint(pretrained: Path, tmp_path: Path) -> None:
    before = vs.load(pretrained).model

    def moved(name: str, **changes: Any) -> float:
        settings = {"optimizer": "adamw", "lr": 0.01, "dropout": 0.0, **changes}
        model = finetune(finetune_recipe(tmp_path / name, pretrained, **settings), splits=two_classes())
        after = vs.load(model).model.patches.projection.weight
        return float((after - before.patches.projection.weight).detach().norm())

    assert moved("decayed", layer_decay=0.3) < 0.2 * moved("even")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_fine_tuning_is_the_uninterrupted_one(
    pretrained: Path, tmp_path: Path, optimizer: str, stop_after: Callable[..., None]
) -> None:
    settings = {"optimizer": optimizer, "layer_decay": 0.75, "image_size": 24, "stochastic_depth": 0.2}
    whole = finetune(finetune_recipe(tmp_path / "whole", pretrained, **settings), splits=two_classes())
    recipe = finetune_recipe(tmp_path / "stopped", pretrained, **settings)
    stop_after(3, signal.SIGINT)
    with pytest.raises(Stopped, match="SIGINT: saved at step 3 of 6") as caught:
        finetune(recipe, splits=two_classes())
    assert caught.value.exit_code == 130
    stopped = finetune(recipe, splits=two_classes(), resume=True)
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (stopped.parent / "metrics.jsonl").read_bytes() == (whole.parent / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"checkpoint: .*, was "):
        finetune(dataclasses.replace(recipe, checkpoint=str(whole)), splits=two_classes(), resume=True)


def test_a_run_whose_model_is_fine_tuned_into_its_own_folder_is_refused(pretrained: Path) -> None:
    before = (pretrained / "model" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        finetune(finetune_recipe(pretrained, pretrained), splits=two_classes())
    assert (pretrained / "model" / "model.safetensors").read_bytes() == before


def test_grey_checkpoints_see_grey_images(tmp_path: Path) -> None:
    fields = {**pretrain_recipe(tmp_path).model_fields, "channels": 1}
    model = pretrain(pretrain_recipe(tmp_path / "grey", model_fields=fields, steps=2), splits=splits())
    tuned = vs.load(finetune(finetune_recipe(tmp_path / "run", model), splits=two_classes()))
    assert tuned.config.channels == 1
    assert tuned.preprocess(np.zeros((5, 5, 3), np.uint8)).shape == (1, SIDE, SIDE)
