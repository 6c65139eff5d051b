"""Images with several labels, from a table to a trained model that is judged and predicts."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from tiny import RICH, evaluated, finetune_recipe, pixels, pretrain_recipe
from vitascope.data.open import open_data
from vitascope.errors import ConfigError, DataError
from vitascope.evaluation.shots import FewShot, few_shot
from vitascope.recipes.finetune import finetune
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.sweep import finetune_with_sweep
from vitascope.studies.data import open_study
from vitascope.studies.settings import DataScaling

LABELS = ("red", "green", "blue")


def table(folder: Path, n: int = 40, seed: int = 0, split: bool = False) -> str:
    """Photographs in which each of three colours is there or not, listed by columns of 0 and 1."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    has = rng.random((n, 3)) < 0.5
    noise = rng.integers(0, 120, (n, 16, 16, 3)) + 130 * has[:, None, None, :]
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *LABELS, *(["split"] if split else [])])
        for i, image in enumerate(noise.astype(np.uint8)):
            Image.fromarray(image).save(folder / f"{i:03}.png")
            rows.writerow([f"{i:03}.png", *has[i].astype(int), *(["test" if i % 4 == 0 else "train"] if split else [])])
    return str(folder / "labels.csv")


pytestmark = pytest.mark.usefixtures("cold_cache")


def results(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model.parent / "results.json").read_text())
    return found


def test_from_scratch_to_fine_tuned_to_judged(tmp_path: Path) -> None:
    data = table(tmp_path / "data", split=True)
    start = pretrain(pretrain_recipe(tmp_path / "start", data=data, holdout=0.2))
    run = finetune(finetune_recipe(tmp_path / "run", start, data=data, holdout=0.2, steps=40, lr=0.1))
    found = results(run)
    assert found["test"]["map"] > 0.9 > found["test"]["by_chance"]
    assert found["validation"]["images"] + found["train_images"] == 30
    assert (run.parent / "curves.png").is_file()
    page = (run.parent / "report.html").read_text(encoding="utf-8")
    assert f"mean average precision of {100 * found['test']['map']:.1f} %" in page
    with (run.parent / "answers.csv").open(newline="", encoding="utf-8-sig") as file:
        told = list(csv.DictReader(file))
    assert {row["split"] for row in told} == {"test", "validation"}
    assert all((row["truth"] == row["answer"]) == (row["right"] == "yes") for row in told)
    assert {word for row in told for word in row["truth"].split(" with ")} == {*LABELS, "no label"}
    ck = vs.load(run)
    assert ck.labels == LABELS
    assert ck.activation == "sigmoid"
    assert "loss: sigmoid" in (run.parent / "config.yaml").read_text()
    again = evaluated(str(run), data)
    numbers = {name: value for name, value in found["test"].items() if isinstance(value, float | int)}
    assert {name: again[name] for name in numbers} == pytest.approx(numbers, rel=1e-5)
    assert again["per_label"]["red"] == pytest.approx(found["test"]["per_label"]["red"], rel=1e-5)
    assert list(again["per_label"]) == list(LABELS)
    source = open_data(data).test
    assert source is not None
    probabilities = vs.Predictor(run).probabilities([source.describe(i) for i in range(len(source))]).numpy()
    said = probabilities >= 0.5
    f1 = [2 * (said & source.labels)[:, k].sum() / (said[:, k].sum() + source.labels[:, k].sum()) for k in range(3)]
    assert again["macro_f1"] == pytest.approx(np.mean(f1))


def test_mixed_images_learn_from_several_processes_worth_of_labels_and_go_on(tmp_path: Path) -> None:
    data = table(tmp_path / "data")
    recipe = replace(pretrain_recipe(tmp_path / "run", data=data, holdout=0.2, augment=RICH), keep="best")
    whole = pretrain(recipe)
    assert results(whole)["validation"]["chosen_on"]
    lines = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert pretrain(recipe, resume=True) == whole
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == lines


def test_a_sweep_is_decided_by_precision(tmp_path: Path) -> None:
    data = table(tmp_path / "data")
    start = pretrain(pretrain_recipe(tmp_path / "start", data=data, holdout=0.2))
    recipe = finetune_recipe(
        tmp_path / "run", start, data=data, holdout=0.2, sweep=True, sweep_rates=(1e-5, 0.1), steps=20
    )
    finetune_with_sweep(recipe)
    found = json.loads((tmp_path / "run" / "sweep" / "results.json").read_text())
    assert found["best"] == max(found["map_by_rate"], key=found["map_by_rate"].get) or found["best"] == 0.1
    finetune_with_sweep(recipe, resume=True)


def test_labels_in_another_order_and_one_label_each_are_judged_by_name(tmp_path: Path) -> None:
    data = table(tmp_path / "data", split=True)
    run = pretrain(pretrain_recipe(tmp_path / "run", data=data, holdout=0.2))
    whole = evaluated(str(run), data)
    text = (tmp_path / "data" / "labels.csv").read_text().splitlines()
    moved = [",".join((row := line.split(","))[:1] + row[3:0:-1] + row[4:]) for line in text]
    (tmp_path / "data" / "moved.csv").write_text("\n".join(moved))
    again = evaluated(str(run), str(tmp_path / "data" / "moved.csv"))
    assert again["per_label"] == whole["per_label"]
    one = "\n".join(["file,label", "000.png,red", "001.png,green"])
    (tmp_path / "data" / "one.csv").write_text(one)
    single = evaluated(str(run), str(tmp_path / "data" / "one.csv"), split="train")
    assert {name: each["images"] for name, each in single["per_label"].items()} == {"red": 1, "green": 1}


def test_what_knows_one_label_an_image_says_so(tmp_path: Path) -> None:
    data = table(tmp_path / "data", split=True)
    several = open_data(data)
    images, labels = pixels(12)
    run = pretrain(pretrain_recipe(tmp_path / "several", data=data, holdout=0.2))
    with pytest.raises(ConfigError, match="judges each label by itself"):
        evaluated(str(run), data, confusion=str(tmp_path / "c.png"))
    assert several.train is not None
    assert several.test is not None
    with pytest.raises(DataError, match="few-shot learning is for one label an image"):
        few_shot(FewShot(shots=(1,), seeds=1), several.train, several.test, lambda *_: np.zeros((0, 1)))
    for source, target in ((data, "digits"), ("digits", data)):
        with pytest.raises(DataError, match="is for one label an image"):
            open_study(DataScaling(source=source, target=target, validation_images=2, out=str(tmp_path / "study")))
    for label, image in zip(labels, images, strict=True):
        (tmp_path / "classes" / f"c{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "classes" / f"c{label}" / f"{image.sum()}.png")
    one = pretrain(pretrain_recipe(tmp_path / "one", data=str(tmp_path / "classes"), holdout=0.3))
    with pytest.raises(DataError, match="chooses one class an image"):
        evaluated(str(one), data)
