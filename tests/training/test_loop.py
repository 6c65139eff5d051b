"""The loop itself: what it says of its speed. What it does to weights and files is in test_resume.py."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from tiny import FIELDS, SIDE, source
from vitascope.data.preprocess import Preprocess
from vitascope.models.catalogue import create_model
from vitascope.training import loop
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.settings import TrainSettings
from vitascope.training.state import new_state


class Rates:
    def __init__(self) -> None:
        self.rates: list[float] = []

    def stepped(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        self.rates.append(images_per_second)

    def evaluated(self, step: int, summary: dict[str, float | int]) -> None:
        pass


def test_an_evaluation_between_two_lines_does_not_change_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    real_step, real_evaluate = loop.training_step, loop.evaluate

    def step(*args: object) -> None:
        nonlocal now
        now += 0.5
        real_step(*args)  # type: ignore[arg-type]

    def evaluate(*args: object, **options: object) -> object:
        nonlocal now
        now += 100.0
        return real_evaluate(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "training_step", step)
    monkeypatch.setattr(loop, "evaluate", evaluate)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    settings = TrainSettings(steps=8, batch=4, log_every=4, eval_every=3, precision="float32")
    job = Job(
        settings=settings,
        steps=8,
        train=source(),
        validation=source(5),
        preprocess=Preprocess(size=(SIDE, SIDE)),
        folder=tmp_path,
    )
    torch.manual_seed(0)
    model = create_model("ViT-Ti/8", **FIELDS, classes=3, image_size=SIDE)
    rates = Rates()
    loop.train(job, new_state(model, settings), World(), rates)
    assert rates.rates == pytest.approx([8.0, 8.0])
