"""What a model was trained on is known by content, wherever it is copied to, and no evaluation passes over it."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitascope as vs
from lessons import taught
from tiny import PLAIN, evaluated, finetune_recipe, image_folder, pretrain_recipe
from vitascope.checkpoints import shown as module
from vitascope.checkpoints.checkpoint_html import judgements
from vitascope.checkpoints.shown import FILE
from vitascope.data.copies import find_copies
from vitascope.inference.export import export
from vitascope.recipes.finetune import finetune
from vitascope.recipes.prepare import prepare_data
from vitascope.recipes.pretrain import pretrain
from vitascope.recipes.sweep import finetune_with_sweep
from vitascope.teaching import lesson as lesson_module

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "images", 40, seed=3)


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    pretrain(pretrain_recipe(tmp_path / "run", data=str(data), holdout=0.25), observer=None)
    return tmp_path / "run"


def test_the_same_data_give_the_held_out_images(run: Path, data: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = evaluated(str(run), str(data))
    trained = vs.load(run).shown
    assert trained is not None
    assert (len(trained.trained), len(trained.validation)) == (30, 10)
    assert (result["part"], result["images"], result["left_out"], result["trained_on"]) == ("held out", 10, 30, 0)
    assert result["top1"] == pytest.approx(_results(run)["validation"]["top1"])
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        everything = evaluated(str(run), str(data), split="train")
    assert (everything["part"], everything["images"], everything["trained_on"]) == ("all", 40, 30)
    assert "30 of the 40 images counted were trained on" in caplog.text


def _results(run: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((run / "results.json").read_text())
    return found


def test_content_counts_not_names_and_a_copied_model_knows(run: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "copied")
    for i, file in enumerate(sorted(data.rglob("*.png"))):
        file.rename(file.with_name(f"renamed{i}.png"))
    image = np.random.default_rng(9).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(image).save(data / "ant" / "new.png")
    result = evaluated(str(tmp_path / "copied"), str(data))
    assert (result["part"], result["images"], result["left_out"]) == ("not trained on", 11, 30)
    vs.save(vs.load(tmp_path / "copied"), tmp_path / "saved")
    assert evaluated(str(tmp_path / "saved"), str(data))["left_out"] == 30


def test_an_export_knows(run: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    export(vs.load(run), tmp_path / "exported", "onnx")
    assert evaluated(str(tmp_path / "exported"), str(data))["left_out"] == 30
    export(vs.load(run), tmp_path / "exported", "onnx", overwrite=True)


def test_after_a_sweep_all_of_it_was_trained_on(
    run: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = finetune_recipe(tmp_path / "swept", run, data=str(data), sweep_rates=(0.1, 0.3), sweep=True)
    finetune_with_sweep(recipe)
    assert "of 10 validation images are among those that the checkpoint was trained on" not in caplog.text
    caplog.clear()
    result = evaluated(str(tmp_path / "swept"), str(data))
    assert (result["images"], result["trained_on"], result["left_out"]) == (40, 40, 0)
    assert "40 of the 40 images counted were trained on" in caplog.text


def test_a_second_training_remembers_the_first(
    run: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another seed holds out other images, which the first training had."""
    recipe = finetune_recipe(tmp_path / "second", run, data=str(data), holdout=0.25, seed=5, augment=PLAIN)
    finetune(recipe)
    assert "validation images are among those that the checkpoint was trained on before" in caplog.text
    caplog.clear()
    shown, first = vs.load(tmp_path / "second").shown, vs.load(run).shown
    assert shown is not None
    assert first is not None
    assert set(first.trained) <= set(shown.trained)
    result = evaluated(str(tmp_path / "second"), str(data))
    assert result["images"] == 40 - len(shown.trained) < 10
    assert result["trained_on"] == 0


def test_weights_chosen_by_the_images_that_are_counted(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pretrain(pretrain_recipe(tmp_path / "best", data=str(data), holdout=0.25, keep="best"))
    assert _results(tmp_path / "best")["validation"]["chosen_on"] is True
    evaluated(str(tmp_path / "best"), str(data))
    assert "weights were chosen by 10 of the 10 images" in caplog.text


def test_what_is_not_known_is_said(run: Path, data: Path, caplog: pytest.LogCaptureFixture) -> None:
    (run / "model" / FILE).write_bytes(b"\0" * 320)
    result = evaluated(str(run), str(data))
    assert (result["images"], result["trained_on"], result["training_known"]) == (40, None, False)
    assert "what was trained on is unknown" in caplog.text
    (run / "model" / FILE).unlink()
    assert vs.load(run).shown is None


def test_more_images_than_are_recorded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LIMIT", 20)
    pretrain(pretrain_recipe(tmp_path / "run", data=str(data), holdout=0.25))
    result = evaluated(str(tmp_path / "run"), str(data))
    assert (result["trained_on"], result["training_known"]) == (None, False)
    assert "not recorded" in caplog.text


def test_training_images_and_held_out_images_share_no_copy(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "images", 30, seed=3)
    for file in sorted(data.rglob("*.png"))[::2]:
        shutil.copy(file, file.with_name(f"copy of {file.name}"))
    for seed in range(5):
        made = prepare_data(pretrain_recipe(tmp_path / "run", data=str(data), holdout=0.3, seed=seed))
        assert made.validation is not None
        copies = find_copies([made.train, made.validation])
        assert not set(copies.of(made.train)) & set(copies.of(made.validation))


def test_given_splits_that_share_copies_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train, val = image_folder(tmp_path / "d" / "train", 30), image_folder(tmp_path / "d" / "val", 9, seed=1)
    for file in sorted(train.rglob("*.png"))[:4]:
        shutil.copy(file, val / file.parent.name / f"again {file.name}")
    prepare_data(pretrain_recipe(tmp_path / "run", data=str(tmp_path / "d")))
    assert "4 of 13 validation images have copies or near copies in training" in caplog.text


def test_images_that_the_features_learned_with_their_labels_judge_nothing(
    start: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image_folder(tmp_path / "data" / "train", 24)
    data = image_folder(tmp_path / "data" / "test", 9, seed=1).parent
    pretrain(pretrain_recipe(tmp_path / "trained", data=str(data), steps=1, holdout=0.0))
    with caplog.at_level("WARNING"):
        lesson = taught(tmp_path / "trained", data, tmp_path / "run")
    (told,) = [record.getMessage() for record in caplog.records if "before:" in record.getMessage()]
    assert told.startswith("this model was trained on 24 of these 24 images before: its leave-one-out figures flatter")
    assert (lesson.results["trained_on"], lesson.results["forecast"], lesson.sets) == (24, [], None)
    assert vs.load(tmp_path / "run").sets is None
    assert lesson.results["test"]["sets"] is None
    assert "left out, each in turn" not in judgements(lesson.results)
    assert "left out, each in turn" in judgements({**lesson.results, "trained_on": 0})
    image_folder(tmp_path / "more", 6, seed=5)
    again = taught(tmp_path / "run", tmp_path / "more", tmp_path / "again").results
    assert (again["images"], again["trained_on"]) == (30, 24)
    # What a head alone was taught, or what was learned without labels, can be left out.
    taught(start, data, tmp_path / "clean")
    assert taught(tmp_path / "clean", data, tmp_path / "cleaner").results["trained_on"] == 0
    pretrain(pretrain_recipe(tmp_path / "masked", data=str(data), objective="masked", steps=1, holdout=0.0))
    assert len(vs.load(tmp_path / "masked").shown.trained) == 24  # type: ignore[union-attr]
    assert taught(tmp_path / "masked", data, tmp_path / "on masked").results["trained_on"] == 0


def test_hardly_any_image_that_the_features_learned_takes_nothing_away(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(pretrain_recipe(tmp_path / "trained", data=str(image_folder(tmp_path / "one", 6)), steps=1, holdout=0.0))
    both = image_folder(tmp_path / "data", 24, seed=1)
    for image in sorted((tmp_path / "one").rglob("*.png"))[:1]:
        shutil.copy(image, both / image.parent.name / "seen.png")
    assert taught(tmp_path / "trained", both, tmp_path / "strict").sets is None
    monkeypatch.setattr(lesson_module, "_HARDLY", 0.05)  # 1 of 25
    lesson = taught(tmp_path / "trained", both, tmp_path / "run")
    assert lesson.results["trained_on"] == 0
    assert lesson.sets is not None
