"""The learning-rate sweep: chosen on a part of the training set, then trained on all of it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import vitascope as vs
from tiny import finetune_recipe, image_folder, pretrain_recipe, splits
from vitascope.errors import ConfigError, Stopped
from vitascope.recipes import sweep as sweep_module
from vitascope.recipes.plan import Limits
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.recipes.sweep import finetune_with_sweep
from vitascope.training import loop
from vitascope.training.train_settings import seconds

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint and a folder of 30 images."""
    folder = tmp_path_factory.mktemp("sweep")
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    model = pretrain(pretrain_recipe(folder / "run", steps=1), splits=splits())
    patch.undo()
    return model, image_folder(folder / "images", 30)


@pytest.fixture
def recipe(start: tuple[Path, Path], tmp_path: Path) -> FinetuneRecipe:
    return finetune_recipe(
        tmp_path / "run", start[0], data=str(start[1]), sweep=True, sweep_rates=(1e-6, 0.3, 1e-5), holdout=0.3, steps=20
    )


def of(out: str | Path, *parts: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(Path(out, *parts, "results.json").read_text())
    return values


def test_the_best_rate_trains_on_everything(recipe: FinetuneRecipe) -> None:
    model = finetune_with_sweep(recipe)
    found = of(recipe.out, "sweep")
    assert found["best"] == 0.3
    assert set(found["top1_by_rate"]) == {"1e-06", "0.3", "1e-05"}
    assert found["top1_by_rate"]["0.3"] == max(found["top1_by_rate"].values())
    trial = of(recipe.out, "sweep", "lr-0.3")
    assert (trial["train_images"], trial["validation"]["images"]) == (21, 9)
    assert of(recipe.out)["train_images"] == 30
    assert yaml.safe_load(Path(recipe.out, "config.yaml").read_text())["lr"] == 0.3
    assert vs.load(model).labels == ("ant", "bee", "cat")


def test_splits_stand_in_for_the_recipes_data(recipe: FinetuneRecipe) -> None:
    given = splits()
    assert given.train is not None
    finetune_with_sweep(dataclasses.replace(recipe, data="nowhere", sweep_rates=(0.3,), steps=1), splits=given)
    assert of(recipe.out)["train_images"] == len(given.train)


def test_accuracy_decides_and_between_equals_the_loss(recipe: FinetuneRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {0.1: (0.5, 0.1), 0.2: (0.75, 0.9), 0.3: (0.75, 0.8), 0.4: (0.75, 0.85)}
    final: list[float] = []

    def finetune(trial: FinetuneRecipe, **options: Any) -> Path:
        out = Path(trial.out)
        out.mkdir(parents=True, exist_ok=True)
        top1, loss = figures[trial.lr]
        (out / "results.json").write_text(json.dumps({"validation": {"top1": top1, "loss": loss}}))
        final.append(trial.lr)
        return out / "model"

    monkeypatch.setattr(sweep_module, "finetune", finetune)
    finetune_with_sweep(dataclasses.replace(recipe, sweep_rates=tuple(figures)))
    assert final == [0.1, 0.2, 0.3, 0.4, 0.3]


def test_it_is_the_fine_tuning_that_the_best_rate_gives_alone(recipe: FinetuneRecipe, tmp_path: Path) -> None:
    short = dataclasses.replace(recipe, steps=2, sweep_rates=(0.01,))
    swept = finetune_with_sweep(short)
    alone = dataclasses.replace(short, lr=0.01, sweep=False, holdout=0.0, out=str(tmp_path / "alone"))
    plain = sweep_module.finetune(alone)
    assert (swept / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()


def test_the_test_split_takes_no_part_in_the_choice(
    start: tuple[Path, Path], recipe: FinetuneRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(start[1], folder / "train")
    image_folder(folder / "test", 6, seed=5)
    finetune_with_sweep(dataclasses.replace(recipe, data=str(folder), steps=1, sweep_rates=(0.1, 0.2)))
    assert "test" not in of(recipe.out, "sweep", "lr-0.1")
    assert of(recipe.out)["test"]["images"] == 6


def stop_in(monkeypatch: pytest.MonkeyPatch, folder: str, step: int) -> None:
    real = loop.training_step

    def stopping(job: Any, state: Any, *rest: Any) -> None:
        real(job, state, *rest)
        if job.folder.name == folder and state.counters.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "training_step", stopping)


@pytest.mark.parametrize("folder", ["lr-0.3", "run"])
def test_a_stopped_sweep_goes_on_where_it_was(
    recipe: FinetuneRecipe, folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(recipe, steps=4)
    whole = finetune_with_sweep(dataclasses.replace(recipe, out=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:
        stop_in(patch, folder, 2)
        with pytest.raises(Stopped, match="saved at step 2 of 4"):
            finetune_with_sweep(recipe)
    trained: list[str] = []
    real = sweep_module.finetune

    def finetune(recipe: FinetuneRecipe, **options: Any) -> Path:
        trained.append(Path(recipe.out).name)
        return real(recipe, **options)

    monkeypatch.setattr(sweep_module, "finetune", finetune)
    with pytest.raises(ConfigError, match="exists"):
        finetune_with_sweep(recipe)
    resumed = finetune_with_sweep(recipe, resume=True)
    assert trained == (["lr-0.3", "lr-1e-05", "run"] if folder == "lr-0.3" else ["run"])
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert of(recipe.out, "sweep") == of(tmp_path / "whole", "sweep")


def test_overwriting_sweeps_anew(recipe: FinetuneRecipe) -> None:
    recipe = dataclasses.replace(recipe, steps=1)
    finetune_with_sweep(recipe)
    finetune_with_sweep(dataclasses.replace(recipe, sweep_rates=(0.2,)), overwrite=True)
    assert [p.name for p in Path(recipe.out, "sweep").iterdir() if p.is_dir()] == ["lr-0.2"]


@pytest.mark.parametrize("changes", [{"sweep_rates": ()}, {"holdout": 0.0}])
def test_a_sweep_needs_rates_and_a_part_to_choose_on(recipe: FinetuneRecipe, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="sweep"):
        finetune_with_sweep(dataclasses.replace(recipe, **changes))
    assert not Path(recipe.out).exists()


def test_a_changed_setting_is_refused_at_a_resume(recipe: FinetuneRecipe) -> None:
    recipe = dataclasses.replace(recipe, steps=1)
    finetune_with_sweep(recipe)
    with pytest.raises(ConfigError, match="seed: 3, was 0"):
        finetune_with_sweep(dataclasses.replace(recipe, seed=3), resume=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": 3, "batch": 5}, "(steps: 3, was 2; batch: 5, was 6)"),
        ({"steps": None, "epochs": 2.0}, "(steps: 7, was 2)"),
        ({"holdout": 0.2}, "(holdout: 0.2, was 0.3; training images: 24, was 21)"),
        ({"sweep_rates": (0.2,)}, "(sweep_rates: [0.2], was [0.3, 0.1])"),
    ],
)
def test_trials_that_are_done_are_those_asked_for_or_the_resume_is_refused(
    recipe: FinetuneRecipe, values: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(recipe, steps=2, sweep_rates=(0.3, 0.1))
    with monkeypatch.context() as patch:  # one rate is done, the other not begun
        stop_in(patch, "lr-0.1", 1)
        with pytest.raises(Stopped):
            finetune_with_sweep(recipe)
    shutil.rmtree(Path(recipe.out, "sweep", "lr-0.1"))
    before = of(recipe.out, "sweep", "lr-0.3")
    with pytest.raises(ConfigError) as caught:
        finetune_with_sweep(dataclasses.replace(recipe, **values), resume=True)
    assert said in str(caught.value)
    assert "repeat those, choose another --out" in str(caught.value)
    assert [p.name for p in Path(recipe.out, "sweep").iterdir()] == ["lr-0.3"]  # nothing was trained
    assert of(recipe.out, "sweep", "lr-0.3") == before


def test_a_sweep_that_leaves_unreadable_images_out_resumes(recipe: FinetuneRecipe, tmp_path: Path) -> None:
    data = image_folder(tmp_path / "with_one_broken", 30)
    (data / "ant" / "broken.png").write_bytes(b"")
    recipe = dataclasses.replace(recipe, data=str(data), steps=None, epochs=0.2, sweep_rates=(0.1,), on_error="skip")
    finetune_with_sweep(recipe)
    finetune_with_sweep(recipe, resume=True)
    with pytest.raises(ConfigError, match="steps: "):
        finetune_with_sweep(dataclasses.replace(recipe, epochs=2.0), resume=True)


def test_a_time_budget_is_shared_by_all_rates_and_the_last_run(
    recipe: FinetuneRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = 1000.0, list[tuple[float, Limits]]()

    def finetune(trial: FinetuneRecipe, *, limits: Limits | None = None, **options: Any) -> Path:
        nonlocal now
        given = seconds(str(trial.time_budget))
        asked.append((given, limits or Limits()))
        now += 1.02 * given
        out = Path(trial.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(json.dumps({"validation": {"top1": 0.5, "loss": 1.0}}))
        return out / "model"

    monkeypatch.setattr(sweep_module, "finetune", finetune)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    swept = dataclasses.replace(recipe, steps=None, time_budget="90s", sweep_rates=(0.1, 0.2))
    finetune_with_sweep(swept, limits=Limits(begun=994.0, longest=50.0))
    assert [given for given, _ in asked] == pytest.approx([30, 30, 90 - 6 - 2 * 30.6])
    assert [(limits.begun, limits.longest, limits.runs) for _, limits in asked[:2]] == [
        (1000.0, 50.0, 3),
        (pytest.approx(1030.6), 50.0, 3),
    ]
