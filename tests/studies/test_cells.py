"""One cell of a grid: its data, its two recipes, its row, and what stays of its runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tiny import image_folder, source
from tiny_study import BIT, SOURCE, TINY, VIT, data_scaling, shrink
from vitascope.data.open import open_data
from vitascope.errors import ConfigError, DataError
from vitascope.recipes.recipe import to_dict
from vitascope.studies.analysis import measured
from vitascope.studies.cells import finetune_recipe, pretrain_recipe, read_row, run_cell
from vitascope.studies.data import nested_subset, open_study
from vitascope.studies.settings import Cell, DataScaling
from vitascope.training import loop
from vitascope.training.record import read_metrics

pytestmark = pytest.mark.usefixtures("tiny")

CELL = Cell(contender=TINY[0], size=20, steps=4, seed=0)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[tuple[DataScaling, dict[str, Any]]]:
    """One cell that was run without any patch of its insides."""
    study = data_scaling(tmp_path_factory.mktemp("study") / "out", images)
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield study, run_cell(study, CELL, open_study(study))


def pixels(data: Any) -> set[bytes]:
    return {data[i].tobytes() for i in range(len(data))}


def test_smaller_subsets_lie_in_larger_ones_of_the_same_seed() -> None:
    pool = source(60)
    for seed in (0, 1):
        sets = [set(nested_subset(pool, size, seed).indices.tolist()) for size in (5, 20, 60)]
        assert [len(chosen) for chosen in sets] == [5, 20, 60]
        assert sets[0] < sets[1] < sets[2]
    a, b = (set(nested_subset(pool, 20, seed).indices.tolist()) for seed in (0, 1))
    assert a != b
    assert a != set(range(20))  # random, not the first ones
    assert nested_subset(pool, 20, 1).labels.tolist() == [pool.labels[i] for i in sorted(b)]


def test_validation_images_are_in_no_subset_and_the_same_for_all(images: Path) -> None:
    first, second = (open_study(data_scaling(Path("x"), images, seeds=(n,))) for n in (1, 2))
    (pool,) = first.pools
    held = pixels(pool.validation)
    assert (len(pool.train), len(pool.validation), first.sizes) == (48, 12, (48,))
    assert len(held) == 12
    assert held == pixels(second.pools[0].validation)
    for seed in range(3):
        assert not held & pixels(nested_subset(pool.train, 48, seed))
    assert held | pixels(pool.train) == pixels(open_data(SOURCE).train)
    assert len(set(pool.validation.labels.tolist())) == 3  # drawn, not the first class


def test_test_images_are_drawn_once_and_the_same_for_all(images: Path) -> None:
    some = [open_study(data_scaling(Path("x"), images, test_images=9)).targets[0].test for _ in range(2)]
    everything = open_study(data_scaling(Path("x"), images, test_images=30)).targets[0].test
    assert (len(some[0]), len(everything)) == (9, 30)
    assert pixels(some[0]) == pixels(some[1]) < pixels(everything)
    assert pixels(some[0]) != {everything[i].tobytes() for i in range(9)}


def test_data_that_no_study_can_be_made_of_are_refused_before_training(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="60 training images, too few to keep 31 of them for validation"):
        open_study(data_scaling(tmp_path, images, validation_images=31))
    with pytest.raises(DataError, match="has no test split to judge on"):
        open_study(data_scaling(tmp_path, images / "train"))
    with pytest.raises(DataError, match="fewer than 7 images of"):  # six a class
        open_study(data_scaling(tmp_path, images, shots=(2, 7)))


def test_a_row_says_all_that_was_found(done: tuple[DataScaling, dict[str, Any]]) -> None:
    study, row = done
    assert read_row(study.out, CELL) == row
    assert json.loads((Path(study.out) / "cells" / f"{CELL.key}.json").read_text()) == row
    assert set(row) >= {"pretraining", "finetuning", "fewshot", "seconds", "processor"}
    head = {"model": VIT, "kind": "ViT", "source": SOURCE, "size": 20, "steps": 4, "seed": 0}
    assert {name: row[name] for name in head} == head
    assert "diverged" not in row
    first = row["pretraining"]
    assert set(first) == {
        "top1", "loss", "images", "last_training_loss", "last_loss", "least_loss", "looks", "best_step", "steps",
    }  # fmt: skip
    assert first["images"] == 12
    assert first["least_loss"] <= first["last_loss"]
    assert [step for step, _ in first["looks"]] == [1, 2, 3, 4]
    assert first["looks"][-1][1] == first["last_loss"]
    assert row["finetuning"]["images"] == 30
    assert [(entry["shots"], entry["method"], len(entry["accuracies"])) for entry in row["fewshot"]] == [
        (2, "ridge", 2)
    ]
    assert measured([row], "size")[0][1] == {
        "fine-tuned": row["finetuning"]["top1"],
        "2-shot": row["fewshot"][0]["mean"],
        "pre-training": first["top1"],
        "overfit": first["last_loss"] - first["least_loss"],
    }


def test_models_stay_and_checkpoints_go(done: tuple[DataScaling, dict[str, Any]]) -> None:
    runs = Path(done[0].out) / "runs" / CELL.key
    for part in ("pretrain", "finetune"):
        assert (runs / part / "model" / "model.safetensors").is_file()
        assert (runs / part / "metrics.jsonl").is_file()
        assert not (runs / part / "checkpoints").exists()


def test_only_the_subset_is_trained_on_and_all_of_the_target(done: tuple[DataScaling, dict[str, Any]]) -> None:
    study, _ = done
    runs = Path(study.out) / "runs" / CELL.key
    results = {part: json.loads((runs / part / "results.json").read_text()) for part in ("pretrain", "finetune")}
    assert (results["pretrain"]["train_images"], results["finetune"]["train_images"]) == (20, 18)
    assert (results["pretrain"]["steps"], results["finetune"]["steps"]) == (4, 2)
    assert "validation" not in results["finetune"]  # nothing is chosen there
    # The fine-tuned encoder began as the pre-trained one: two small steps away, not a new draw.
    before, after = (load_file(runs / part / "model" / "model.safetensors") for part in ("pretrain", "finetune"))
    names = [name for name in before if "encoder" in name and before[name].ndim == 2]
    assert names
    for name in names:
        assert torch.dist(before[name], after[name]) < 0.2 * before[name].norm(), name


def test_the_best_step_is_kept_not_the_last(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.evaluate
    accuracies = iter([0.25, 0.75, 0.5, 0.25])
    weights: list[torch.Tensor] = []

    class Told:
        """A tally whose accuracy is told."""

        def __init__(self, tally: Any, top1: float) -> None:
            self.tally, self.top1, self.score = tally, top1, top1

        def __getattr__(self, name: str) -> Any:
            return getattr(self.tally, name)

    def evaluate(objective: Any, model: Any, *args: Any, **options: Any) -> Any:
        weights.append(next(p.detach().clone() for p in model.parameters() if p.ndim > 1))
        tally = real(objective, model, *args, **options)
        return Told(tally, next(accuracies)) if len(weights) <= 4 else tally

    monkeypatch.setattr(loop, "evaluate", evaluate)
    study = data_scaling(tmp_path / "out", images)
    row = run_cell(study, CELL, open_study(study))
    assert row["pretraining"]["best_step"] == 2
    kept = load_file(Path(study.out) / "runs" / CELL.key / "pretrain" / "model" / "model.safetensors")
    equal = [[torch.equal(value, w) for value in kept.values()].count(True) for w in weights[:4]]
    assert equal == [0, 1, 0, 0]
    losses = [line["validation"]["loss"] for line in read_metrics(Path(study.out) / "runs" / CELL.key / "pretrain")
              if "validation" in line]  # fmt: skip
    assert (row["pretraining"]["last_loss"], row["pretraining"]["least_loss"]) == (losses[-1], min(losses))


def test_a_run_that_diverges_is_a_result_without_accuracies(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = data_scaling(tmp_path / "out", images, lr=1e30)
    cell = dataclasses.replace(CELL, steps=24)  # looked at every third step, so that training sees it first
    row = run_cell(study, cell, open_study(study))
    assert "loss nan" in row["diverged"]
    assert not {"pretraining", "finetuning", "fewshot"} & set(row)
    assert measured([row], "size") == []
    assert read_row(study.out, cell) == row
    assert f"{cell.key} diverged" in caplog.text
    assert not (Path(study.out) / "runs" / cell.key / "pretrain" / "checkpoints").exists()


def test_a_loss_that_is_lost_at_the_very_last_step_is_a_divergence(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Training looks at the loss before each step, so that nobody sees what the last one did.
    real = loop.training_step

    def step(job: Any, state: Any, *rest: Any) -> None:
        real(job, state, *rest)
        if state.counters.step == job.steps:
            with torch.no_grad():
                for parameter in state.model.parameters():
                    parameter.fill_(float("nan"))

    monkeypatch.setattr(loop, "training_step", step)
    study = data_scaling(tmp_path / "out", images)
    row = run_cell(study, CELL, open_study(study))
    assert row["diverged"]
    assert "NaN" not in (Path(study.out) / "cells" / f"{CELL.key}.json").read_text()


def test_a_fine_tuning_that_diverges_is_a_result_too(images: Path, tmp_path: Path) -> None:
    study = data_scaling(tmp_path / "out", images, finetune_lr=1e30, finetune_steps=4)
    row = run_cell(study, CELL, open_study(study))
    assert row["diverged"]
    assert row["pretraining"]["images"] == 12
    assert measured([row], "size") == []


def test_all_models_are_trained_alike() -> None:
    study = data_scaling(Path("x"), "digits", finetune_size=24)
    firsts, seconds = [], []
    for contender in TINY:
        for size, seed in ((20, 0), (40, 1)):
            cell = Cell(contender=contender, size=size, steps=4, seed=seed)
            firsts.append(to_dict(pretrain_recipe(study, cell, Path("run"))))
            seconds.append(to_dict(finetune_recipe(study, cell, Path("first"), Path("run"))))
    assert [recipe.pop("model") for recipe in firsts] == ["ViT-Ti/8"] * 2 + ["BiT-R50x1"] * 2
    assert [recipe.pop("mlp_head") for recipe in firsts] == [True, True, False, False]
    assert [recipe.pop("dropout") for recipe in firsts] == [0.0, 0.0, None, None]  # both: none
    assert [recipe.pop("seed") for recipe in firsts] == [0, 1, 0, 1]
    for recipe in firsts:
        del recipe["model_fields"], recipe["data"]
    assert all(recipe == firsts[0] for recipe in firsts)
    assert [recipe.pop("seed") for recipe in seconds] == [0, 1, 0, 1]
    assert all(recipe == seconds[0] for recipe in seconds)
    assert (seconds[0]["image_size"], seconds[0]["weight_decay"], seconds[0]["optimizer"]) == (24, 0.0, "sgd")
    assert (firsts[0]["keep"], firsts[0]["optimizer"]) == ("best", "adamw")


def test_the_settings_of_a_study_reach_its_recipes() -> None:
    changes = {"lr": 0.5, "weight_decay": 0.25, "warmup": 0.75, "batch": 5, "image_size": 24}
    study = data_scaling(Path("x"), "digits", finetune_lr=0.125, finetune_steps=9, **changes)
    first = pretrain_recipe(study, CELL, Path("run"))
    second = finetune_recipe(study, CELL, Path("first"), Path("run"))
    assert {name: getattr(first, name) for name in changes} == changes
    assert (second.lr, second.steps, second.batch, second.warmup, second.image_size) == (0.125, 9, 5, 0.75, None)
    assert (first.eval_every, first.save_every, first.keep_checkpoints) == (1, 1, 1)
    longer = pretrain_recipe(study, dataclasses.replace(CELL, steps=80), Path("run"))
    assert (longer.eval_every, longer.save_every) == (10, 10)


def test_a_resnet_s_cell_is_done_and_a_further_source_is_its_own(images: Path, tmp_path: Path) -> None:
    bigger = SOURCE.replace("instances=20", "instances=30")
    study = data_scaling(tmp_path / "out", images, sizes=(), further=(bigger,))
    data = open_study(study)
    assert data.sizes == (48, 78)
    cell = study.grid(*data.sizes)[3]
    assert (cell.contender.name, cell.source, cell.size) == (BIT, 1, 78)
    row = run_cell(study, cell, data)
    assert (row["kind"], row["source"]) == ("ResNet", bigger)
    results = json.loads((Path(study.out) / "runs" / cell.key / "pretrain" / "results.json").read_text())
    assert results["train_images"] == 78
    assert np.isfinite(row["pretraining"]["last_loss"])


def test_accuracies_of_several_targets_are_averaged(images: Path, tmp_path: Path) -> None:
    other = image_folder(tmp_path / "other" / "train", 18, seed=2).parent
    image_folder(other / "test", 9, seed=3)
    studies = [
        data_scaling(tmp_path / "both", images, further_targets=(str(other),)),
        data_scaling(tmp_path / "one", images),
        data_scaling(tmp_path / "two", other),
    ]
    both, one, two = (run_cell(study, CELL, open_study(study)) for study in studies)
    for name in ("top1", "loss"):
        mean = (one["finetuning"][name] + two["finetuning"][name]) / 2
        assert both["finetuning"][name] == pytest.approx(mean, rel=1e-6)
    assert [each["images"] for each in both["finetuning"]["targets"]] == [30, 9]
    draws = zip(one["fewshot"][0]["accuracies"], two["fewshot"][0]["accuracies"], strict=True)
    assert both["fewshot"][0]["accuracies"] == pytest.approx([(a + b) / 2 for a, b in draws])
    assert not list((tmp_path / "both" / "runs" / CELL.key).glob("finetune*/checkpoints"))
    with pytest.raises(ConfigError, match="expected each once"):
        data_scaling(tmp_path / "again", images, further_targets=(str(images),))


def test_a_study_trains_in_the_format_and_compiled_as_it_is_told() -> None:
    study = data_scaling(Path("x"), "digits", precision="bfloat16", compile=True)
    for recipe in (pretrain_recipe(study, CELL, Path("run")), finetune_recipe(study, CELL, Path("a"), Path("run"))):
        assert (recipe.precision, recipe.compile) == ("bfloat16", True)
