"""From photographs to a classifier: the same figure everywhere, the better one kept, refusals before anything."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.recipes.test_teach_labels import listed

import vitascope as vs
from tiny import PLAIN, evaluated, image_folder
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli.commands.train import lines
from vitascope.data.check import check_data
from vitascope.data.kept import ArraySource
from vitascope.data.open import open_data
from vitascope.errors import ConfigError, DataError, OutputError, Stopped
from vitascope.recipes import train as training
from vitascope.recipes import train_choices
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.recipes.teach import teach
from vitascope.recipes.train import Told, better, train_run
from vitascope.recipes.train_asked import Train
from vitascope.recipes.train_data import divided
from vitascope.recipes.train_report import FINETUNED, TAUGHT, Plan
from vitascope.teaching.known import read_taught
from vitascope.training.train_settings import seconds


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No measuring, no pictures, four steps in place of a budget."""
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(train_choices, "training_rate", lambda *_, **__: 1000.0)
    monkeypatch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    usual = train_choices.finetuning

    def short(*words: Any, **where: Any) -> FinetuneRecipe:
        values = {"time_budget": None, "steps": 4, "batch": 6, "precision": "float32", "augment": PLAIN}
        return dataclasses.replace(usual(*words, **where), **values)

    monkeypatch.setattr(training, "finetuning", short)


@pytest.fixture
def start(tmp_path: Path) -> str:
    vs.save(checkpoint(TINY), tmp_path / "start")
    return str(tmp_path / "start")


def asked(start: str, data: Path | str, out: Path, **options: Any) -> Train:
    return Train(start=start, data=str(data), out=str(out), device="cpu", **{"threads": 1, **options})


def split_folder(tmp_path: Path) -> Path:
    image_folder(tmp_path / "data" / "train", 24)
    image_folder(tmp_path / "data" / "val", 12, seed=1)
    return tmp_path / "data"


@pytest.mark.parametrize("way", ["teach", "finetune", "both"])
@pytest.mark.parametrize("is_split", [True, False])
def test_the_same_figure_everywhere(way: str, is_split: bool, start: str, tmp_path: Path) -> None:
    data = split_folder(tmp_path) if is_split else image_folder(tmp_path / "photos", 30)
    trained = train_run(asked(start, data, tmp_path / "run", way=way))
    judged = trained.results["validation"]
    again = evaluated(str(tmp_path / "run"), str(data), device="cpu", engine="eager")
    card = vs.load(tmp_path / "run").card["results"]["validation"]
    held = json.loads((tmp_path / "run" / "results.json").read_text())
    assert again["images"] == judged["images"] == (12 if is_split else 6)
    assert (
        again["part"]
        == {True: again["part"], False: "not trained on" if trained.kept == TAUGHT else "held out"}[is_split]
    )
    assert again["top1"] == judged["top1"] == card["top1"] == held["validation"]["top1"]
    assert again["per_class"] == judged["per_class"]
    assert held == trained.results
    assert held["kept"] == trained.kept
    assert ("chosen_on" in judged) == (way == "both")
    assert way == "both" or trained.kept == {"teach": TAUGHT, "finetune": FINETUNED}[way]
    assert set(held["compared"]) == ({TAUGHT} if way == "teach" else {TAUGHT, FINETUNED})
    assert (read_taught(tmp_path / "run") is not None) == (trained.kept == TAUGHT)


def test_what_was_taught_for_the_choice_has_not_seen_what_is_held_out(start: str, tmp_path: Path) -> None:
    data = image_folder(tmp_path / "photos", 30)
    train_run(asked(start, data, tmp_path / "run"))
    for name in (TAUGHT, FINETUNED):
        shown = vs.load(tmp_path / "run" / name).shown
        assert shown is not None
        assert evaluated(str(tmp_path / "run" / name), str(data), device="cpu", engine="eager")["images"] == 6
    known = read_taught(tmp_path / "run" / TAUGHT)
    assert known is not None
    assert len(known[0]) == 24


def test_the_better_one_is_kept() -> None:
    def of(top1: float, loss: float) -> dict[str, Any]:
        return {"validation": {"top1": top1, "loss": loss}}

    assert better({TAUGHT: of(0.8, 0.5), FINETUNED: of(0.9, 0.9)}) == FINETUNED
    assert better({TAUGHT: of(0.8, 0.5), FINETUNED: of(0.7, 0.1)}) == TAUGHT
    assert better({TAUGHT: of(0.8, 0.5), FINETUNED: of(0.8, 0.4)}) == FINETUNED
    assert better({TAUGHT: of(0.8, 0.5), FINETUNED: of(0.8, 0.5)}) == TAUGHT


def test_copies_stay_on_one_side_and_what_cannot_be_read_is_left_out(start: str, tmp_path: Path) -> None:
    data = split_folder(tmp_path)
    one = sorted((data / "val" / "bee").iterdir())[0]
    shutil.copy(one, data / "train" / "bee" / "again.png")
    (data / "train" / "ant" / "broken.png").write_bytes(b"no picture")
    (data / "val" / "ant" / "broken.png").write_bytes(b"no picture")
    splits = open_data(str(data))
    report = check_data(splits)
    parts, rows, unreadable = divided(asked(start, data, tmp_path / "run"), splits, report)
    assert unreadable == 2
    assert parts.train is not None
    assert parts.validation is not None
    names = [parts.train.describe(i) for i in range(len(parts.train))]
    assert len(names) == 24
    assert not [name for name in names if "again" in name or "broken" in name]
    assert len(parts.validation) == 12
    assert ("copies", "1 training image left out: in validation too") in rows
    results = train_run(asked(start, data, tmp_path / "run", way="teach")).results
    assert results["unreadable"] == 2
    assert evaluated(str(tmp_path / "run"), str(data), on_error="skip")["top1"] == results["validation"]["top1"]


def test_several_labels_an_image_are_told_in_words_of_their_own(start: str, tmp_path: Path) -> None:
    words = asked(start, listed(tmp_path / "data"), tmp_path / "run", way="both", time_budget="10m")
    trained = train_run(words)
    first, _, helps, _ = lines(words, trained)
    assert "mean average precision" in first
    assert "of several labels an image nothing can be foretold" in helps


def test_suspects_and_threads_outlive_the_choice(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: Callable[..., None]
) -> None:
    data = split_folder(tmp_path)
    stop_after(2)
    with pytest.raises(Stopped):
        train_run(asked(start, data, tmp_path / "run"))
    used: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", used.append)
    monkeypatch.setattr(training, "better", lambda found: FINETUNED)
    trained = train_run(asked(start, data, tmp_path / "run", resume=True, threads=2))
    assert used[-1] == 2
    taught = json.loads((tmp_path / "run" / "taught" / "results.json").read_text())
    assert trained.results["suspects"] == taught["suspects"]


def test_a_training_set_that_is_judged_on_is_refused(start: str, tmp_path: Path) -> None:
    image_folder(tmp_path / "data" / "train", 12)
    image_folder(tmp_path / "data" / "val", 12)
    with pytest.raises(DataError, match="every image of ant, bee, cat is a copy"):
        train_run(asked(start, tmp_path / "data", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_refusals_come_before_anything(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, out = image_folder(tmp_path / "photos", 30), tmp_path / "run"
    (tmp_path / "one" / "ant").mkdir(parents=True)
    shutil.copy(next((data / "ant").iterdir()), tmp_path / "one" / "ant")
    (tmp_path / "none" / "ant").mkdir(parents=True)
    (tmp_path / "none" / "bee").mkdir(parents=True)
    for folder, said in (("one", "one class, 'ant'"), ("none", "no image"), ("nowhere", "no such file or folder")):
        with pytest.raises(DataError, match=said):
            train_run(asked(start, tmp_path / folder, out))
    for wrong, said in (({"holdout": 0.0}, "holdout is 0"), ({"time_budget": "soon"}, "expected a time such as"),
                        ({"way": "teach", "lr": 0.1}, "nothing is fine-tuned"),
                        ({"resume": True, "overwrite": True}, "contradict")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            asked(start, data, out, **wrong)
    with pytest.raises(ConfigError, match="nothing to resume"):
        train_run(asked(start, data, out, resume=True))
    monkeypatch.setattr(train_choices, "training_rate", lambda *_, **__: 0.01)
    with pytest.raises(ConfigError, match=r"time_budget 60s: the features of 30 images take about .*; give .*"):
        train_run(asked(start, data, out, time_budget="60s"))
    assert not out.exists()


def test_what_is_there_is_replaced_only_when_asked_to(start: str, tmp_path: Path) -> None:
    data, out = image_folder(tmp_path / "photos", 30), tmp_path / "run"
    train_run(asked(start, data, out, way="teach"))
    with pytest.raises(OutputError, match="--resume or --overwrite"):
        train_run(asked(start, data, out, way="teach"))
    (out / "thesis.txt").write_text("ten years")
    with pytest.raises(OutputError, match=r"holds thesis.txt"):
        train_run(asked(start, data, out, overwrite=True))
    (out / "thesis.txt").unlink()
    train_run(asked(start, data, out, overwrite=True))
    assert (out / FINETUNED / "results.json").is_file()
    again = train_run(asked(start, data, out, way="teach", overwrite=True))
    assert again.kept == TAUGHT
    assert not (out / FINETUNED).exists()


def test_an_interrupted_fine_tuning_leaves_the_taught_model_and_goes_on(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = image_folder(tmp_path / "photos", 30), tmp_path / "run"

    def stopped(*_: object, **__: object) -> None:
        raise Stopped(signal.SIGINT, "SIGINT: saved at step 1")

    with monkeypatch.context() as patch:
        patch.setattr(training, "finetune", stopped)
        with pytest.raises(Stopped) as error:
            train_run(asked(start, data, out))
    assert error.value.remedy == f"{out} holds the taught model; go on with --resume"
    first = evaluated(str(out), str(data), device="cpu", engine="eager")
    assert first["images"] == 6
    with pytest.raises(ConfigError, match=r"started with other settings \(seed: 1, was 0\)"):
        train_run(asked(start, data, out, seed=1, resume=True))
    trained = train_run(asked(start, data, out, resume=True))
    assert set(trained.results["compared"]) == {TAUGHT, FINETUNED}
    assert trained.results["compared"][TAUGHT]["top1"] == first["top1"]


def test_the_plan_tells_every_choice_and_time_decides_the_way(start: str, tmp_path: Path) -> None:
    data, plans = image_folder(tmp_path / "photos", 30), list[Plan]()
    train_run(asked(start, data, tmp_path / "long"), Told(plan=plans.append))
    long = dict(plans[0].rows)
    assert set(long) == {"holdout", "start", "threads", "image-size", "flip", "lr", "way"}
    assert "6 of 30 images" in long["holdout"]
    assert long["start"] == f"{start}: as asked"
    assert "the better one is kept" in long["way"]
    trained = train_run(asked(start, data, tmp_path / "short", time_budget="3s"), Told(plan=plans.append))
    assert dict(plans[1].rows)["way"].startswith("teach alone: ")
    assert trained.kept == TAUGHT


def test_the_time_left_is_what_fine_tuning_is_given(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[FinetuneRecipe, float]] = []
    data = image_folder(tmp_path / "photos", 30)
    usual = train_choices.finetuning

    def kept(*words: Any, **where: Any) -> FinetuneRecipe:
        recipe = usual(*words, **where)
        given.append(recipe)
        return dataclasses.replace(recipe, time_budget=None, steps=2, augment=PLAIN)

    monkeypatch.setattr(training, "finetuning", kept)
    train_run(asked(start, data, tmp_path / "run", time_budget="10m", lr=0.01, batch=5, flip=False))
    recipe = given[0]
    assert recipe.time_budget is not None
    assert 590 < seconds(recipe.time_budget) <= 600  # of the whole command, but for the report that comes afterwards
    assert (recipe.lr, recipe.batch, recipe.augment.flip, recipe.augment.crop) == (0.01, 5, False, "shift")


def test_mirrored_images_are_learned_from_unless_sides_tell_classes_apart(start: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (40, 16, 16, 3)).astype(np.uint8)
    images[:20, :, :8] += 190  # light on the left, or on the right
    images[20:, :, 8:] += 190
    labels = np.repeat(np.arange(2), 20).astype(np.int64)
    source = ArraySource("sides", ("left", "right"), labels, images)
    taught = teach(vs.load(start), source, device="cpu")
    flip, why = train_choices._flip(asked(start, "x", tmp_path / "run"), source, taught)
    assert not flip
    assert "of mirrored images right" in why
