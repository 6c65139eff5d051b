"""Teaching: an ordinary checkpoint comes out, and adding and forgetting equal teaching all at once."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vitascope as vs
from lessons import head, taught
from tiny import evaluated, image_folder, pretrain_recipe, splits
from tiny_checkpoint import TINY, checkpoint
from vitascope.data import copies
from vitascope.data.source import Source
from vitascope.errors import CheckpointError, ConfigError, DataError, OutputError
from vitascope.evaluation.features import FeatureStore
from vitascope.inference.engines.auto import Auto
from vitascope.models.config import BiTConfig, StemConfig, ViTConfig
from vitascope.recipes.asked import Similar
from vitascope.recipes.similar import similar

CONFIGS = {
    "ViT": TINY,
    "MLP head": ViTConfig(**{**vars(TINY), "representation_size": 5}),
    "hybrid": ViTConfig(
        **{**vars(TINY), "image_size": (32, 32), "patch": 1, "stem": StemConfig(units=(1,), width_factor=0.5)}
    ),
    "ResNet": BiTConfig(image_size=(16, 16), units=(1, 1, 1, 1), base_width=32, classes=3, small_images=True),
}


pytestmark = pytest.mark.usefixtures("cold_cache", "no_pictures")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    image_folder(tmp_path / "data" / "train", 24)
    image_folder(tmp_path / "data" / "test", 9, seed=1)
    return tmp_path / "data"


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_comes_out_is_an_ordinary_checkpoint(kind: str, data: Path, tmp_path: Path) -> None:
    vs.save(checkpoint(CONFIGS[kind]), tmp_path / "start")
    results = taught(tmp_path / "start", data, tmp_path / "run").results
    again = evaluated(str(tmp_path / "run"), str(data))
    assert again["split"] == "test"
    assert again["top1"] == results["test"]["top1"]
    assert again["loss"] == pytest.approx(results["test"]["loss"], rel=1e-4)
    assert again["per_class"] == results["test"]["per_class"]
    assert results["images"] == 24
    assert results["loo_top1"] > 0.8
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    assert vs.Predictor(tmp_path / "run")(next((data / "test" / "bee").iterdir()))[0][0][0] == "bee"


def test_the_leave_one_out_figures_are_those_of_teaching_without_the_image(
    start: str, data: Path, tmp_path: Path
) -> None:
    for file in sorted((data / "train").rglob("*.png"))[::2]:
        file.unlink()
    lesson = taught(start, data / "train", tmp_path / "run")
    right = []
    for number, file in enumerate(sorted((data / "train").rglob("*.png"))):
        rest = tmp_path / f"without-{number}"
        shutil.copytree(data / "train", rest)
        (rest / file.relative_to(data / "train")).unlink()
        taught(start, rest, tmp_path / f"run-{number}")
        right.append(vs.Predictor(tmp_path / f"run-{number}")(file)[0][0][0] == file.parent.name)
    # λ and the features' scale are then those of one image less.
    assert np.mean(right) == pytest.approx(lesson.results["loo_top1"], abs=1 / 12)


def test_adding_is_teaching_all_at_once(start: str, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "train", tmp_path / "first")
    for move in [*sorted((tmp_path / "first" / "ant").iterdir())[:3], tmp_path / "first" / "cat"]:
        target = tmp_path / "second" / move.relative_to(tmp_path / "first")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(move, target)
    taught(start, tmp_path / "first", tmp_path / "one")
    added = taught(tmp_path / "one", tmp_path / "second", tmp_path / "two")
    whole = taught(start, data / "train", tmp_path / "whole")
    (labels, ours), (expected_labels, expected) = head(tmp_path / "two"), head(tmp_path / "whole")
    assert labels == expected_labels == ("ant", "bee", "cat")  # here the new class is the last in either order
    assert torch.allclose(ours, expected, rtol=0, atol=1e-6)
    assert added.results["loo_top1"] == whole.results["loo_top1"]
    assert vs.load(tmp_path / "two").shown is not None
    assert len(vs.load(tmp_path / "two").shown.trained) == len(vs.load(tmp_path / "whole").shown.trained)  # type: ignore[union-attr]


def test_what_is_added_is_judged_by_the_names_of_its_classes(start: str, tmp_path: Path) -> None:
    image_folder(tmp_path / "all", 24)
    for split, number in (("first", 0), ("more/train", 1), ("more/val", 2)):
        for folder in (tmp_path / "all").iterdir():
            for file in sorted(folder.iterdir())[number::3]:
                name = {"ant": "zebra"}.get(folder.name, folder.name)
                if (split == "first") <= (name != "bee"):  # the first run knows no bees
                    (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, tmp_path / split / name)
    taught(start, tmp_path / "first", tmp_path / "one")
    results = taught(tmp_path / "one", tmp_path / "more", tmp_path / "two").results
    assert vs.load(tmp_path / "two").labels == ("cat", "zebra", "bee")
    again = evaluated(str(tmp_path / "two"), str(tmp_path / "more"), split="validation")
    assert results["validation"]["top1"] == again["top1"] > 0.6
    assert results["validation"]["per_class"] == again["per_class"]


def test_forgetting_is_never_having_seen(start: str, data: Path, tmp_path: Path) -> None:
    taught(start, data, tmp_path / "whole")
    file = sorted((data / "train" / "ant").iterdir())[0]
    taught(tmp_path / "whole", None, tmp_path / "less", forget=("cat", file.name))
    shutil.rmtree(data / "train" / "cat")
    file.unlink()
    taught(start, data / "train", tmp_path / "expected")
    (labels, ours), (expected_labels, expected) = head(tmp_path / "less"), head(tmp_path / "expected")
    assert labels == expected_labels == ("ant", "bee")
    assert torch.allclose(ours, expected, rtol=0, atol=1e-6)


def test_an_image_that_is_known_counts_once_and_a_new_label_holds(start: str, data: Path, tmp_path: Path) -> None:
    taught(start, data / "train", tmp_path / "one")
    file = sorted((data / "train" / "ant").iterdir())[0]
    right = tmp_path / "right" / "bee" / file.name
    right.parent.mkdir(parents=True)
    shutil.copy(file, right)
    known = taught(tmp_path / "one", tmp_path / "right", tmp_path / "two").known
    assert len(known) == 24
    assert (known.labels == known.classes.index("bee")).sum() == 9


def test_a_wrong_label_is_suspected_by_name(start: str, tmp_path: Path) -> None:
    image_folder(tmp_path / "data", 120)
    wrong = sorted((tmp_path / "data" / "ant").iterdir())[4]
    shutil.move(wrong, tmp_path / "data" / "cat" / "moved.png")
    results = taught(start, tmp_path / "data", tmp_path / "run").results
    first = results["suspects"][0]
    assert Path(first["file"]).name == "moved.png"
    assert (first["label"], first["looks_like"]) == ("cat", "ant")
    assert first["wrong"] > 0.5
    assert 0 < results["wrong_labels"] < 0.1
    assert [entry["images"] for entry in results["forecast"]] == [240, 480]
    assert set(results["gains"]) == {"ant", "bee", "cat"}


def test_what_decided_an_answer_is_told(start: str, data: Path, tmp_path: Path) -> None:
    lesson = taught(start, data, tmp_path / "run", balance=True)
    image = next((data / "test" / "bee").iterdir())
    told = similar(Similar(checkpoint=str(tmp_path / "run"), image=str(image), top=3, device="cpu"))
    assert [entry["label"] for entry in told["similar"]] == ["bee"] * 3
    assert told["answer"] == "bee"
    assert [abs(d["lead"]) for d in told["decided"]] == sorted((abs(d["lead"]) for d in told["decided"]), reverse=True)
    first = told["decided"][0]
    taught(tmp_path / "run", None, tmp_path / "less", forget=(first["file"],), balance=True)
    bee, other = lesson.known.classes.index("bee"), lesson.known.classes.index(told["instead_of"])

    def lead(run: str) -> float:
        ck = vs.load(tmp_path / run)
        logits = ck.model(ck.preprocess(image)[None])[0].detach()
        return float(logits[bee] - logits[other])

    # λ, temperature and the weights by class are then those of one image less.
    assert lead("run") - lead("less") == pytest.approx(first["lead"], abs=0.5 * abs(first["lead"]) + 0.1)
    among = similar(Similar(checkpoint=start, image=str(image), paths=(str(data / "train"),), top=2, device="cpu"))
    assert list(among) == ["similar"]
    assert set(among["similar"][0]) == {"file", "cosine"}
    with pytest.raises(ConfigError, match="was not taught; give image files"):
        similar(Similar(checkpoint=start, image=str(image)))


def test_copies_under_two_labels_are_told(
    start: str, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(next((data / "train" / "ant").iterdir()), data / "train" / "bee" / "again.png")
    with caplog.at_level("WARNING"):
        results = taught(start, data / "train", tmp_path / "run").results
    assert "2 images have copies under another label" in caplog.text
    assert [(found["kind"], found["classes"]) for found in results["copies"]] == [("the same", ["ant", "bee"])]


def test_what_cannot_be_is_one_line_and_leaves_nothing(start: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(data / "train" / "ant", tmp_path / "one class" / "ant")
    refused: list[tuple[str | Path, Path | None, dict[str, Any], type[Exception], str]] = [
        (start, None, {}, ConfigError, "was not taught"),
        (start, data, {"forget": ("ant",)}, ConfigError, "--forget is for"),
        (start, tmp_path / "one class", {}, DataError, "one class only"),
        (tmp_path / "run", None, {"forget": ("dog",)}, ConfigError, "'dog' is no class or file"),
        (tmp_path / "run", None, {"forget": ("ant", "bee")}, DataError, "one class only"),
        (tmp_path / "run", data, {"image_size": 32}, ConfigError, "leave out --image-size"),
    ]
    taught(start, data, tmp_path / "run")
    for where, source, options, error, said in refused:
        with pytest.raises(error, match=said) as caught:
            taught(where, source, tmp_path / "out", **options)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()
    with pytest.raises(OutputError, match="exists"):
        taught(start, data, tmp_path / "run")
    taught(start, data, tmp_path / "run", overwrite=True)
    with (tmp_path / "run" / "taught.safetensors").open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\x00\x01\x02")
    with pytest.raises(CheckpointError, match="not as it was written"):
        taught(tmp_path / "run", data, tmp_path / "out")
    (tmp_path / "run" / "taught.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing, and with it what the run was taught"):
        taught(tmp_path / "run", data, tmp_path / "out")
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "elsewhere")
    taught(tmp_path / "elsewhere", data, tmp_path / "out")


def test_a_run_of_training_is_taught_too(data: Path, tmp_path: Path) -> None:
    from vitascope.recipes.pretrain import pretrain

    pretrain(pretrain_recipe(tmp_path / "trained", steps=1), splits=splits())
    taught(tmp_path / "trained", data, tmp_path / "run")
    shown, before = vs.load(tmp_path / "run").shown, vs.load(tmp_path / "trained").shown
    assert shown is not None
    assert before is not None
    assert set(before.trained.tolist()) < set(shown.trained.tolist())


def test_from_python(start: str, data: Path, tmp_path: Path) -> None:
    taught(start, data, tmp_path / "run", coverage=0.9, balance=True)
    expected = head(tmp_path / "run")
    ck = vs.teach(vs.load(start), str(data), coverage=0.9, balance=True, device="cpu")
    vs.save(ck, tmp_path / "own")
    labels, weights = head(tmp_path / "own")
    assert labels == expected[0]
    assert torch.equal(weights, expected[1])
    assert ck.card["results"]["loo_top1"] > 0.8
    assert ck.sets is not None
    assert ck.sets.coverage == 0.9
    with pytest.raises(ConfigError, match="coverage is 2"):
        vs.teach(vs.load(start), str(data), coverage=2.0)


def test_every_image_is_looked_at_for_copies_once(
    start: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    mark = copies._mark

    def noted(source: Source, index: int) -> Any:
        looked.append(source.describe(index))
        return mark(source, index)

    monkeypatch.setattr(copies, "_mark", noted)
    taught(start, data, tmp_path / "run")
    assert len(looked) == len(set(looked)) == 33


def test_who_stops_it_does_not_wait_for_the_search_for_copies(
    start: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def endless(sources: Any, progress: Callable[[int, int], None]) -> None:
        while True:
            begun.set()
            progress(1, 2)
            time.sleep(0.001)

    def stopped(*_: object) -> None:
        begun.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr("vitascope.recipes.teach.find_copies", endless)
    monkeypatch.setattr(FeatureStore, "_compute", stopped)
    with pytest.raises(KeyboardInterrupt):
        taught(start, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_engine_is_told_of_images_that_are_not_kept_yet(
    start: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(Auto, "expect", lambda self, images: told.append(images))
    taught(start, data, tmp_path / "run")
    taught(start, data, tmp_path / "again")
    assert told == [33]
