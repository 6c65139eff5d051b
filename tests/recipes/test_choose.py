"""`finetune auto`: the rules of choosing, and runs with a network, without one, and gone on with."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import constants

import vitascope as vs
from depot import COMMIT, Depot
from tiny import PLAIN, finetune_recipe, image_folder, source
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.starts import STARTS
from vitascope.data.source import Splits
from vitascope.errors import CheckpointError
from vitascope.recipes import choose as choosing
from vitascope.recipes.asked import Teach
from vitascope.recipes.choose import Candidate, choose, training_flops
from vitascope.recipes.finetune import finetune
from vitascope.recipes.sweep import finetune_with_sweep
from vitascope.recipes.teach import teach_run

SMALL = Candidate(name="small", top1=78.0, seconds=0.1)
MIDDLE = Candidate(name="middle", top1=83.0, seconds=0.4)
LARGE = Candidate(name="large", top1=86.0, seconds=1.6)
SLOW = Candidate(name="slow", top1=82.0, seconds=2.0)
ALL = (MIDDLE, SLOW, SMALL, LARGE)
FIRST, PATCH_32, SECOND = (start.name for start in STARTS[:3])


@pytest.mark.parametrize(
    ("images", "classes", "limit", "expected"),
    [
        (200, 2, 1600.0, "large"),  # 1,000 showings at 1.6 s
        (200, 2, 1599.0, "middle"),
        (200, 2, 399.0, "small"),
        (2000, 2, 1600.0, "small"),  # ten times the images
        (200, 20, 1600.0, "middle"),  # 64 of each class are 1,280 showings
        (200, 2, 1.0, "small"),  # nothing fits
    ],
)
def test_the_most_accurate_that_sees_enough_in_time(images: int, classes: int, limit: float, expected: str) -> None:
    assert choose(ALL, images=images, classes=classes, limit=limit).name == expected


def test_a_length_that_is_given_is_what_is_planned() -> None:
    assert choose(ALL, images=200, classes=50, limit=1600.0, passes=5).name == "large"
    assert choose(ALL, images=200, classes=2, limit=1600.0, passes=20).name == "middle"


def test_the_slower_of_two_as_good_is_not_taken_and_nothing_that_does_not_fit_the_memory() -> None:
    twin = Candidate(name="twin", top1=86.0, seconds=1.5)
    assert choose((LARGE, twin), images=10, classes=2, limit=1e6).name == "twin"
    heavy = Candidate(name="heavy", top1=90.0, seconds=0.1, fits=False)
    assert choose((SMALL, heavy), images=10, classes=2, limit=1e6).name == "small"
    with pytest.raises(CheckpointError, match="not one of the starts fits the memory"):
        choose((heavy,), images=10, classes=2, limit=1e6)


def test_it_says_why_and_what_more_time_would_have_chosen() -> None:
    assert choose(ALL, images=200, classes=2, limit=600.0).why == (
        "middle (83 % on ImageNet-1k): 200 images of 2 classes, 1,000 showings in about 6m40s here; with 26m40s it "
        "would be large (86 %)"
    )
    assert choose(ALL, images=200, classes=2, limit=1.0).why == (
        "small (78 % on ImageNet-1k): 200 images of 2 classes, 1,000 showings in about 1m40s here, more than the 1s "
        "there are; nothing is quicker; with 6m40s it would be middle (83 %)"
    )
    assert "with" not in choose(ALL, images=200, classes=2, limit=1e6).why


def test_only_what_was_judged_alike_and_is_free_to_use_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "training_flops", lambda *_: 1e12)
    some = [s for s in STARTS if s.name in (FIRST, SECOND, PATCH_32) or s.family in ("DINO", "MAE", "DeiT III")]
    monkeypatch.setattr(choosing, "STARTS", some)
    found = {each.name: each for each in choosing._candidates(finetune_recipe(Path("out"), "auto"))}
    assert found.keys() == {FIRST, SECOND, PATCH_32}
    assert found[SECOND].seconds == pytest.approx(3 * 9.2e9 / 1e12, rel=0.01)
    small = {each.name: each for each in choosing._candidates(finetune_recipe(Path("out"), "auto", image_size=48))}
    assert small[SECOND].seconds < found[SECOND].seconds / 10
    assert PATCH_32 not in small  # of which 48 pixels make no whole patches


def test_what_is_taught_is_chosen_by_linear_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "training_flops", lambda *_: 1e12)
    found = {each.name: each for each in choosing._teachable(224, "cpu")}
    assert found.keys() == {start.name for start in STARTS if start.family in ("DINO", "DINOv2")}
    small = found["timm/vit_small_patch16_224.dino"]
    assert small.seconds == pytest.approx(9.2e9 / 1e12, rel=0.01)
    assert choosing._teachable(64, "cpu")[0].name == small.name


def test_the_speed_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.training.speed._MEASURED", 0.0)
    monkeypatch.setattr(choosing, "_PROBE", "ViT-Ti/32")
    assert 1e7 < training_flops(torch.device("cpu"), "float32") < 1e15


@pytest.fixture
def hub(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    """With tiny models in place of two starts, of which the second is better and ten times as slow."""
    vs.save(checkpoint(), tmp_path / "tiny", format="timm")
    for name in (FIRST, SECOND):
        depot.add(name, tmp_path / "tiny")
    some = [Candidate(name=FIRST, top1=78.0, seconds=0.1), Candidate(name=SECOND, top1=84.0, seconds=1.0)]
    monkeypatch.setattr(choosing, "_candidates", lambda recipe: some)
    return depot


def run(out: Path, tune: Any = finetune, resume: bool = False, **changes: Any) -> str:
    """Name and revision of what a run of `auto` began with."""
    splits = Splits(train=source(20), validation=source(9, seed=1))
    model = tune(finetune_recipe(out, "auto", augment=PLAIN, **changes), splits=splits, resume=resume)
    card = json.loads((model / "config.json").read_text())["card"]
    fetched = card["origin"]["fetched"]
    assert fetched["revision"] == COMMIT
    assert card["checkpoint"] == fetched["name"] == yaml.safe_load((out / "config.yaml").read_text())["checkpoint"]
    return str(fetched["name"])


@pytest.mark.usefixtures("no_pictures")
def test_a_run_with_auto(hub: Depot, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vitascope")
    assert run(tmp_path / "long", steps=6) == SECOND
    assert f"auto: {SECOND} (84 % on ImageNet-1k): 20 images of 3 classes, 36 showings in about 36s here" in caplog.text
    asked = len(hub.asked)
    caplog.clear()
    assert run(tmp_path / "long", resume=True, steps=6) == SECOND  # as it was begun, whatever would be chosen now
    assert "auto:" not in caplog.text
    assert len(hub.asked) > asked
    assert run(tmp_path / "swept", finetune_with_sweep, steps=2, sweep=True, sweep_rates=(0.01,), holdout=0.3) == SECOND


@pytest.mark.usefixtures("no_pictures")
def test_without_a_network(
    hub: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.status = 503
    recipe = finetune_recipe(tmp_path / "none", "auto")
    splits = Splits(train=source(20))
    assert choosing.with_start(recipe, {"splits": splits}).checkpoint == "start"  # the package's own is always here
    assert f"{SECOND} cannot be had now; start is taken instead" in caplog.text
    hub.status = 0
    other = next(start.name for start in STARTS if start.family == "DINO")
    hub.repositories[other] = hub.repositories[FIRST]
    vs.load(other)
    hub.status = 503
    assert run(tmp_path / "other") == other  # cannot be compared, but is here, and larger than the package's own
    assert f"cannot be had now; {other} is taken instead" in caplog.text
    hub.status = 0
    vs.load(FIRST)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run(tmp_path / "held") == FIRST
    assert f"{SECOND} cannot be had now; one of the 1 that are here is taken instead" in caplog.text


def test_teach_auto(
    hub: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vitascope")
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    some = [Candidate(name=FIRST, top1=78.0, seconds=1.0), Candidate(name=SECOND, top1=84.0, seconds=100.0)]
    monkeypatch.setattr(choosing, "_teachable", lambda *_: some)
    data = image_folder(tmp_path / "data", 9)
    lesson = teach_run(Teach(checkpoint="auto", data=str(data), out=str(tmp_path / "run"), device="cpu"))
    taught, card = vs.load(tmp_path / "run"), vs.load(tmp_path / "run").card
    assert taught.preprocess.size == (224, 224)  # of which the accuracies of linear heads are
    assert card["checkpoint"] == card["origin"]["fetched"]["name"] == FIRST
    assert f"auto: {FIRST} (78 % on ImageNet-1k): 9 images of 3 classes, 9 showings in about 9s here" in caplog.text
    assert len(lesson.known) == 9


def test_a_path_called_auto_wins(hub: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vs.save(checkpoint(), tmp_path / "auto")
    recipe = finetune_recipe(tmp_path / "run", "auto")
    assert choosing.with_start(recipe, {}) is recipe
    assert hub.asked == []
