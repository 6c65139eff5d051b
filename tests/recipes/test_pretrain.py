"""Pre-training as a user gets it: the folder, every setting, refusals, and a loss that explodes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import vitascope as vs
from tiny import CLASSES, FIELDS, PLAIN, RICH, image_folder, pixels, pretrain_recipe, source, splits
from vitascope.data.memory import ArraySource
from vitascope.data.settings import AugmentConfig
from vitascope.data.source import Splits
from vitascope.errors import CheckpointError, ConfigError, DataError, DivergedError, ImageError, Stopped
from vitascope.recipes.pretrain import crop_fraction, pretrain
from vitascope.training import loop
from vitascope.training.settings import TrainSettings
from vitascope.training.state import saved_states

pytestmark = pytest.mark.usefixtures("no_pictures")


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() != b.keys() or any(not torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_what_the_design_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with the picture, once
    out = tmp_path / "run"
    model = pretrain(pretrain_recipe(out, keep_checkpoints=1, ema=0.9), splits=splits())
    assert model == out / "model"
    assert {p.name for p in out.iterdir()} == {
        "config.yaml", "labels.json", "environment.json", "metrics.jsonl", "speed.jsonl", "results.json", "curves.png",
        "checkpoints", "model",
    }  # fmt: skip
    assert {p.name for p in model.iterdir()} == {
        "model.safetensors",
        "config.json",
        "preprocessor.json",
        "README.md",
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
ELSEWHERE = {"epochs", "time_budget", "momentum", "keep", "compile", "tensorboard", "drop_tokens_for"}
BASE: dict[str, Any] = {"steps": 5, "lr": 0.01, "log_every": 2, "eval_every": 2, "save_every": 2}


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
        ("model_fields", {**FIELDS, "heads": 4}),
    ],
)
def test_every_setting_of_the_model_does_something(name: str, value: Any, base: Path, tmp_path: Path) -> None:
    model = pretrain(pretrain_recipe(tmp_path / "run", **{**BASE, name: value}), splits=splits())
    assert differ(weights(model), weights(base / "model"))


def test_epochs_are_passes_over_the_training_part(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=None, epochs=1.5), splits=splits())  # 30 images in steps of 6
    assert json.loads((out / "results.json").read_text())["steps"] == 5


def test_resuming_with_other_epochs_is_refused_and_with_the_same_is_not(tmp_path: Path) -> None:
    recipe = pretrain_recipe(tmp_path / "run", steps=None, epochs=1.5)
    pretrain(recipe, splits=splits())
    pretrain(recipe, splits=splits(), resume=True)
    with pytest.raises(ConfigError, match="steps: 10, was 5"):
        pretrain(dataclasses.replace(recipe, epochs=3.0), splits=splits(), resume=True)


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({"model_fields": {**FIELDS, "depth": 3}}, splits(), "model_fields: .*depth.*3.*was"),
        ({"lr": 0.1, "seed": 2}, splits(), "lr: 0.1, was 0.003; seed: 2, was 0"),
        ({}, splits(23), "training images: 23, was 20"),
    ],
)
def test_a_resume_with_other_settings_lists_them(
    changes: dict[str, Any], data: Splits, message: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=1), splits=splits())
    before = (out / "model" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=message):
        pretrain(pretrain_recipe(out, steps=1, **changes), splits=data, resume=True)
    assert (out / "model" / "model.safetensors").read_bytes() == before


def test_a_resume_with_other_classes_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=1), splits=splits())
    images, labels = pixels(20)
    renamed = ArraySource("tiny", ("ant", "bee", "dog"), labels, images)
    with pytest.raises(ConfigError, match=r"ant, bee, dog.* was 3 .*ant, bee, cat"):
        pretrain(pretrain_recipe(out, steps=1), splits=Splits(train=renamed), resume=True)


def test_a_damaged_checkpoint_stops_the_resume_and_offers_the_one_before(tmp_path: Path) -> None:
    out = tmp_path / "run"
    recipe = pretrain_recipe(out, steps=4, save_every=2)
    pretrain(recipe, splits=splits())
    expected = (out / "model" / "model.safetensors").read_bytes()
    older, newest = saved_states(out / "checkpoints")
    file = newest / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{newest} is damaged .*remove {newest.name} to go on from {older.name}"):
        pretrain(recipe, splits=splits(), resume=True)
    for path in newest.iterdir():
        path.unlink()
    newest.rmdir()
    pretrain(recipe, splits=splits(), resume=True)
    assert (out / "model" / "model.safetensors").read_bytes() == expected


def test_an_existing_run_is_refused_and_overwritten_only_on_demand(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=1), splits=splits())
    before = (out / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        pretrain(pretrain_recipe(out, steps=2), splits=splits())
    assert (out / "config.yaml").read_bytes() == before
    pretrain(pretrain_recipe(out, steps=2), splits=splits(), overwrite=True)
    assert [p.name for p in saved_states(out / "checkpoints")] == ["step-00000002"]


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
        ({**RESNET, "dropout": 0.1}, "dropout is 0.1, but BiT-R50x1 is a ResNet.* give --dropout 0"),
        ({**RESNET, "stochastic_depth": 0.2}, "stochastic_depth is 0.2, but BiT-R50x1 is a ResNet"),
        ({**RESNET, "whiten": 5}, "whiten is for a ViT"),
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


def explode(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    real = loop.training_step

    def step(job: Any, state: Any, runner: Any, batch: Any, world: Any) -> None:
        if state.counters.step == at:
            next(state.model.parameters()).data.fill_(float("nan"))
        real(job, state, runner, batch, world)

    monkeypatch.setattr(loop, "training_step", step)


def test_a_loss_that_explodes_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pretrain(pretrain_recipe(tmp_path / "whole", **BASE), splits=splits())
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        explode(patch, at=3)
        with pytest.raises(DivergedError, match=r"loss nan.* at step 3 .*last checkpoint is kept; try a lower --lr"):
            pretrain(pretrain_recipe(out, **BASE), splits=splits())
    assert [p.name for p in saved_states(out / "checkpoints")] == ["step-00000002"]
    assert not (out / "model").exists()
    model = pretrain(pretrain_recipe(out, **BASE), splits=splits(), resume=True)
    assert not differ(weights(model), weights(whole))


def test_a_learning_rate_far_too_high_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        pretrain(pretrain_recipe(tmp_path / "run", lr=1e30, warmup=0.0, clip=0.0, optimizer="sgd"), splits=splits())


def scripted(monkeypatch: pytest.MonkeyPatch, accuracies: list[float]) -> None:
    """Evaluations during training that find these accuracies, one after the other."""
    real = loop.evaluate

    def evaluate(*args: Any, **options: Any) -> Any:
        tally, right = real(*args, **options), round(9 * accuracies.pop(0))
        tally.confusion[:] = 0
        tally.confusion[0, 0], tally.confusion[0, 1] = right, 9 - right
        return tally

    monkeypatch.setattr(loop, "evaluate", evaluate)


def test_the_best_weights_are_the_result_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**BASE, "steps": 4, "eval_every": 1, "decay": "constant"}
    two = pretrain(pretrain_recipe(tmp_path / "two", **{**settings, "steps": 2, "warmup": 0.0}), splits=splits())
    scripted(monkeypatch, [1 / 9, 7 / 9, 7 / 9, 3 / 9])
    best = pretrain(pretrain_recipe(tmp_path / "best", **settings, keep="best", warmup=0.0), splits=splits())
    # The earlier of two equals; and with a constant rate, the run of two steps is the first half of that of four.
    assert json.loads((tmp_path / "best" / "results.json").read_text())["best_step"] == 2
    assert not differ(weights(best), weights(two))


def test_the_best_needs_something_to_choose_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--keep best needs a validation set"):
        pretrain(pretrain_recipe(tmp_path / "run", keep="best", holdout=0.0), splits=Splits(train=source()))
    assert not (tmp_path / "run").exists()


def test_the_average_is_the_result_where_there_is_one(tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = pretrain(pretrain_recipe(out, **BASE, ema=0.9), splits=splits())
    state = saved_states(out / "checkpoints")[-1]
    assert not differ(weights(model), load_file(state / "ema.safetensors"))
    assert differ(weights(model), load_file(state / "model.safetensors"))


def test_observers_hear_of_every_line_and_evaluation(tmp_path: Path) -> None:
    heard: list[tuple[Any, ...]] = []

    class Observer:
        def stepped(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
            heard.append(("stepped", step, steps))
            assert loss > 0
            assert images_per_second > 0

        def evaluated(self, step: int, summary: dict[str, float | int]) -> None:
            heard.append(("evaluated", step, summary["images"]))

    pretrain(pretrain_recipe(tmp_path / "run"), splits=splits(), observer=Observer())
    assert heard == [
        ("stepped", 3, 8), ("evaluated", 4, 9), ("stepped", 6, 8), ("stepped", 8, 8), ("evaluated", 8, 9),
    ]  # fmt: skip


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


def test_a_budget_of_time_is_kept_and_a_model_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=None, time_budget="3s", log_every=50, eval_every=None), splits=splits())
    results = json.loads((out / "results.json").read_text())
    assert results["steps"] > 10
    assert 0.4 < results["seconds"] < 6
    assert yaml.safe_load((out / "config.yaml").read_text())["steps"] == results["steps"]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["lr"] for line in lines if "lr" in line][-1] < 1e-4  # the schedule ended with the run
    assert vs.load(out).labels == CLASSES


def test_a_budget_too_small_for_a_step_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.training.speed.measure_step", lambda *_, **__: 5.0)
    with pytest.raises(ConfigError, match=r"a step takes 5\.00s .* give more time"):
        pretrain(pretrain_recipe(tmp_path / "run", steps=None, time_budget="3s"), splits=splits())
    assert not (tmp_path / "run").exists()


def test_measuring_leaves_the_model_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.recipes.run.measure_run", _measure_and_say(5))
    measured = pretrain(
        pretrain_recipe(tmp_path / "a", **{**BASE, "steps": None, "time_budget": "9s"}), splits=splits()
    )
    given = pretrain(pretrain_recipe(tmp_path / "b", **BASE), splits=splits())
    assert not differ(weights(measured), weights(given))


def _measure_and_say(steps: int) -> Callable[..., int]:
    from vitascope.training.speed import measure_run

    def measured(*args: Any) -> int:
        assert measure_run(*args) > 0
        return steps

    return measured


def test_a_budget_counts_on_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.training import speed

    real, asked = speed.training_batches, []

    def batches(*args: Any) -> Any:
        asked.append(args[-1])
        return real(*args)

    monkeypatch.setattr(speed, "training_batches", batches)
    recipe = pretrain_recipe(tmp_path / "run", **{**BASE, "steps": None, "time_budget": "2s", "workers": 1})
    pretrain(recipe, splits=splits())
    assert asked == [1]


def test_a_signal_while_measuring_stops_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.training import speed

    real = speed.training_step

    def step(*args: Any) -> None:
        real(*args)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(speed, "training_step", step)
    with pytest.raises(Stopped, match="before the first step") as caught:
        pretrain(pretrain_recipe(tmp_path / "run", steps=None, time_budget="9s"), splits=splits())
    assert caught.value.exit_code == 143
    assert not (tmp_path / "run").exists()


def test_a_micro_batch_found_automatically_fits_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.training import speed

    real, tried = speed.training_step, []

    def step(job: Any, *rest: Any) -> None:
        tried.append(job.settings.micro_batch)
        if job.settings.micro_batch > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
        real(job, *rest)

    monkeypatch.setattr(speed, "training_step", step)
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, **BASE, micro_batch="auto"), splits=splits())
    assert yaml.safe_load((out / "config.yaml").read_text())["micro_batch"] == 2
    assert sorted(set(tried), reverse=True) == [6, 3, 2]


def test_not_even_one_image_fitting_the_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("vitascope.training.speed.training_step", full)
    with pytest.raises(ConfigError, match="not even one image fits"):
        pretrain(pretrain_recipe(tmp_path / "run", micro_batch="auto"), splits=splits())


def test_other_faults_while_measuring_are_not_taken_for_a_full_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("vitascope.training.speed.training_step", wrong)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        pretrain(pretrain_recipe(tmp_path / "run", micro_batch="auto"), splits=splits())


def test_small_images_are_not_cropped_in_evaluation() -> None:
    assert [crop_fraction(side) for side in (32, 127, 128, 224)] == [1.0, 1.0, 0.875, 0.875]


def test_augmentation_is_that_of_the_recipe(tmp_path: Path) -> None:
    runs = [
        weights(pretrain(pretrain_recipe(tmp_path / str(i), **{**BASE, "augment": augment}), splits=splits()))
        for i, augment in enumerate((PLAIN, RICH, RICH))
    ]
    assert differ(runs[0], runs[1])
    assert not differ(runs[1], runs[2])
