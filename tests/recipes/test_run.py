"""A run: its length, going on with it, the folder that exists already, what its result is, a loss that explodes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from short_run import BASE, differ, weights
from tiny import FIELDS, pixels, pretrain_recipe, source, splits
from vitascope.data.kept import ArraySource
from vitascope.data.source import Splits
from vitascope.errors import CheckpointError, ConfigError, DivergedError, Stopped
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop
from vitascope.training.observer import Observer
from vitascope.training.state import saved_states

pytestmark = pytest.mark.usefixtures("no_pictures")


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


def explode(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    real = loop.training_step

    def step(job: Any, state: Any, *rest: Any) -> None:
        if state.counters.step == at:
            next(state.model.parameters()).data.fill_(float("nan"))
        real(job, state, *rest)

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
        counted, right = real(*args, **options), round(9 * accuracies.pop(0))
        counted.tally.counts[:] = 0
        counted.tally.counts[0, 0], counted.tally.counts[1, 0] = 9, right
        return counted

    monkeypatch.setattr(loop, "evaluate", evaluate)


def test_the_best_weights_are_the_result_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**BASE, "steps": 4, "eval_every": 1, "decay": "constant"}
    two = pretrain(pretrain_recipe(tmp_path / "two", **{**settings, "steps": 2, "warmup": 0.0}), splits=splits())
    scripted(monkeypatch, [1 / 9, 7 / 9, 7 / 9, 3 / 9])
    best = pretrain(pretrain_recipe(tmp_path / "best", **settings, keep="best", warmup=0.0), splits=splits())
    # The earlier of two equals; and with a constant rate, the run of two steps is the first half of that of four.
    assert json.loads((tmp_path / "best" / "results.json").read_text())["best_step"] == 2
    assert not differ(weights(best), weights(two))


def test_patience_ends_a_run_whose_validation_does_not_get_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: Callable[..., None]
) -> None:
    settings = {**BASE, "steps": 9, "log_every": 4, "eval_every": 1, "decay": "constant", "warmup": 0.0, "keep": "best"}
    scores = [1 / 9, 7 / 9, 5 / 9, 7 / 9, 6 / 9, 8 / 9]

    def results(name: str, **changes: Any) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            scripted(patch, list(scores))
            pretrain(pretrain_recipe(tmp_path / name, **settings, **changes), splits=splits(), resume="auto")
        return dict(json.loads((tmp_path / name / "results.json").read_text()))

    found = results("patient", patience=2)  # equal is not better
    assert (found["steps"], found["best_step"]) == (4, 2)
    stop_after(3)
    with pytest.raises(Stopped):
        results("stopped", patience=2)
    scores[:2] = []  # the third evaluation was broken off
    assert results("stopped", patience=2)["steps"] == 4
    assert not differ(weights(tmp_path / "stopped" / "model"), weights(tmp_path / "patient" / "model"))
    records = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("patient", "stopped")]
    assert records[0] == records[1]


def test_the_best_by_loss(tmp_path: Path) -> None:
    settings = {**BASE, "steps": 6, "lr": 0.05, "eval_every": 1, "decay": "constant", "keep": "best"}
    for by in ("accuracy", "loss"):
        pretrain(pretrain_recipe(tmp_path / by, **settings, best_by=by), splits=splits())
    lines = [json.loads(line) for line in (tmp_path / "loss" / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["validation"]["loss"] for line in lines if "validation" in line}
    best = json.loads((tmp_path / "loss" / "results.json").read_text())["best_step"]
    assert best == min(losses, key=lambda step: losses[step])


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


def test_observers_hear_of_every_image_step_and_evaluation(tmp_path: Path) -> None:
    heard: list[tuple[Any, ...]] = []

    class Heard(Observer):
        def begun(self, step: int, steps: int) -> None:
            heard.append(("begun", step, steps))

        def counted(self, what: str, done: int, total: int) -> None:
            heard.append((what, done, total))

        def stepped(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
            heard.append(("stepped", step, steps))
            assert loss > 0
            assert images_per_second > 0

        def evaluated(self, step: int, summary: dict[str, float | int]) -> None:
            heard.append(("evaluated", step, summary["images"]))

    pretrain(pretrain_recipe(tmp_path / "run"), splits=splits(), observer=Heard())
    steps = [("stepped", step, 8) for step in range(1, 9)]
    counted = [("validation", 6, 9), ("validation", 9, 9)]
    assert heard == [
        ("begun", 0, 8), *steps[:4], *counted, ("evaluated", 4, 9), *steps[4:], *counted, ("evaluated", 8, 9),
    ]  # fmt: skip
