"""The loop itself: what it says of its speed. What it does to weights and files is in test_resume.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import FIELDS, SIDE, pretrain_recipe, source, splits
from vitascope.data.preprocess import Preprocess
from vitascope.errors import Stopped
from vitascope.models.catalogue import create_model
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop
from vitascope.training.job import Job
from vitascope.training.observer import Observer
from vitascope.training.parallel import World
from vitascope.training.record import time_spent
from vitascope.training.state import TrainState, new_state
from vitascope.training.train_settings import TrainSettings


class Rates(Observer):
    def __init__(self) -> None:
        self.rates: list[float] = []

    def stepped(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        self.rates.append(images_per_second)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes half a second, an evaluation 100 and a checkpoint 1000."""
    now = 0.0

    def lasting(name: str, seconds: float) -> None:
        real = getattr(loop, name)

        def slow(*args: Any, **options: Any) -> Any:
            nonlocal now
            now += seconds
            return real(*args, **options)

        monkeypatch.setattr(loop, name, slow)

    for name, seconds in (("training_step", 0.5), ("evaluate", 100.0), ("save_state", 1000.0)):
        lasting(name, seconds)
    monkeypatch.setattr(time, "monotonic", lambda: now)


def job(folder: Path, **changes: Any) -> Job:
    settings = TrainSettings(**{"batch": 4, "log_every": 4, "eval_every": 3, "precision": "float32", **changes})
    return Job(
        settings=settings,
        steps=8,
        train=source(),
        validation=source(5),
        preprocess=Preprocess(size=(SIDE, SIDE)),
        folder=folder,
    )


def state(job: Job) -> TrainState:
    torch.manual_seed(0)
    return new_state(create_model("ViT-Ti/8", **FIELDS, classes=3, image_size=SIDE), job.settings)


@pytest.mark.usefixtures("clock")
def test_evaluations_and_saving_do_not_change_the_rate(tmp_path: Path) -> None:
    rates = Rates()
    work = job(tmp_path, save_every=3)
    loop.train(work, state(work), World(), rates)
    assert rates.rates == pytest.approx([8.0] * 8)
    # Eight steps, three evaluations, three checkpoints.
    assert time_spent(tmp_path) == {"seconds": 3304.0, "training_seconds": 4.0, "images_per_second": 8.0}


@pytest.mark.usefixtures("clock", "no_pictures")
def test_a_resume_adds_to_the_time_that_was_spent_before(tmp_path: Path, stop_after: Callable[..., None]) -> None:
    def results() -> dict[str, Any]:
        values: dict[str, Any] = json.loads((tmp_path / "run" / "results.json").read_text())
        return {name: values[name] for name in ("seconds", "training_seconds", "images_per_second")}

    recipe = pretrain_recipe(tmp_path / "run", steps=8, batch=6, log_every=3, eval_every=8)
    stop_after(5)  # two steps after the last line
    with pytest.raises(Stopped):
        pretrain(recipe, splits=splits())
    pretrain(recipe, splits=splits(), resume=True)
    # Eight steps, one evaluation on the way, a checkpoint at the stop and one at the end.
    expected = {"seconds": 2104.0, "training_seconds": 4.0, "images_per_second": 12.0}
    assert results() == expected
    pretrain(recipe, splits=splits(), resume=True)  # finished: the end is saved again, in no time but the clock's
    assert results() == {**expected, "seconds": 3104.0}


def test_evaluations_on_the_way_are_read_by_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = loop.evaluate

    def evaluate(*args: Any, workers: int, **options: Any) -> Any:
        asked.append(workers)
        return real(*args, workers=workers, **options)

    monkeypatch.setattr(loop, "evaluate", evaluate)
    work = job(tmp_path, workers=1, eval_every=8)
    loop.train(work, state(work), World())
    assert asked == [1]
