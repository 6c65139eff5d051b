"""Measuring before training: on a copy, by the clock, and without counting what only the first steps cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import FIELDS, SIDE, source
from vitascope.data.preprocess import Preprocess
from vitascope.errors import ConfigError
from vitascope.layers.encoder import Encoder
from vitascope.models.catalogue import create_model
from vitascope.models.memory import training_memory
from vitascope.training import speed
from vitascope.training.job import Job
from vitascope.training.parallel import World
from vitascope.training.settings import TrainSettings


def job(**changes: Any) -> Job:
    return Job(
        settings=TrainSettings(**{"batch": 4, "precision": "float32", **changes}),
        steps=1,
        train=source(),
        validation=source(9),
        preprocess=Preprocess(size=(SIDE, SIDE)),
        folder=Path("run"),
    )


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("ViT-Ti/8", **FIELDS, classes=3, image_size=SIDE)


class Clock:
    """Time that passes in steps and evaluations only."""

    def __init__(self, patch: pytest.MonkeyPatch, steps: list[float]) -> None:
        self.now, self.steps, self.done = 0.0, steps, 0
        real = speed.training_step

        def step(*args: Any) -> None:
            real(*args)
            self.now += self.steps[min(self.done, len(self.steps) - 1)]
            self.done += 1

        patch.setattr(speed, "training_step", step)
        patch.setattr(time, "perf_counter", lambda: self.now)


def test_a_step_is_the_median_of_those_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, [100.0, 1.0, 9.0, 1.0, 1.0])  # the first compiles, the third was disturbed
    measured = model()
    before = {name: tensor.clone() for name, tensor in measured.state_dict().items()}
    assert speed.measure_step(job(), measured, World(), for_seconds=112.0) == 1.0
    assert clock.done == 5
    assert all(torch.equal(tensor, before[name]) for name, tensor in measured.state_dict().items())


def test_at_least_three_steps_are_made_however_long_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, [5.0, 4.0, 2.0])
    assert speed.measure_step(job(), model(), World(), for_seconds=0.0) == 3.0
    assert clock.done == 3


def test_an_evaluation_is_measured_on_the_first_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seen, real = 0.0, [], speed.evaluate

    def evaluate(*args: Any, each_batch: Any, **options: Any) -> Any:
        def then(done: int) -> None:
            nonlocal now
            now += 2.0
            seen.append(done)
            each_batch(done)

        assert options["workers"] == 0
        return real(*args, each_batch=then, **options)

    monkeypatch.setattr(speed, "evaluate", evaluate)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    assert speed.measure_evaluation(job(), model(), World(), source(20), 6) == 0.5
    assert seen == [4, 8]  # whole batches, until there are six


@pytest.mark.parametrize(
    ("eval_every", "test", "expected"),
    [
        (None, False, (92 - 11 * 0.9) / 0.5),  # ten evaluations on the way and one of the result
        (None, True, (92 - 11 * 0.9 - 2.0) / 0.5),
        (2, False, (92 - 0.9) / (0.5 + 0.9 / 2)),
    ],
)
def test_every_evaluation_counts_towards_the_budget(
    monkeypatch: pytest.MonkeyPatch, eval_every: int | None, test: bool, expected: float
) -> None:
    monkeypatch.setattr(speed, "measure_step", lambda *_, **__: 0.5)
    monkeypatch.setattr(speed, "measure_evaluation", lambda *_: 0.1)  # of 9 validation, 20 test images
    measured = job(eval_every=eval_every)
    steps = speed.measure_run(measured, torch.nn.Identity(), World(), 100.0, source(20) if test else None)
    assert steps == pytest.approx(expected, abs=1)


def test_a_budget_without_room_for_a_step_says_what_one_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "measure_step", lambda *_, **__: 5.0)
    monkeypatch.setattr(speed, "measure_evaluation", lambda *_: 0.1)
    with pytest.raises(ConfigError, match=r"a step takes 5\.00s and the last evaluation 1s, so none fits"):
        speed.measure_run(job(), torch.nn.Identity(), World(), 3.0)


def test_the_micro_batch_is_halved_until_it_fits_a_processes_share(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, int]] = []

    def fits(trial: Job, *_: Any) -> bool:
        assert isinstance(trial.settings.micro_batch, int)
        tried.append((trial.settings.batch, trial.settings.micro_batch))
        return trial.settings.micro_batch <= 3

    monkeypatch.setattr(speed, "_fits", fits)
    monkeypatch.setattr(World, "largest", lambda self, value: value)
    assert speed.largest_micro_batch(job(batch=20), torch.nn.Identity(), World(size=2)) == 3
    assert tried == [(10, 10), (10, 5), (10, 3)]


@pytest.mark.parametrize(("part", "dropped"), [(1.0, 0.5), (0.75, 0.0)])
def test_the_steps_with_most_tokens_have_to_fit(monkeypatch: pytest.MonkeyPatch, part: float, dropped: float) -> None:
    tried: list[float] = []
    monkeypatch.setattr(speed, "_fits", lambda trial, *_: not tried.append(trial.settings.drop_tokens))  # type: ignore[func-returns-value]
    speed.largest_micro_batch(job(drop_tokens=0.5, drop_tokens_for=part), torch.nn.Identity(), World())
    assert tried == [dropped]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_on_a_cpu_nothing_is_tried_that_does_not_fit_the_free_memory(
    monkeypatch: pytest.MonkeyPatch, checkpointed: bool
) -> None:
    model = create_model("ViT-Ti/4", image_size=32, depth=2, classes=3)
    tried: list[int] = []

    def step(trial: Job, *_: Any, **__: Any) -> float:
        tried.append(int(trial.settings.micro_batch or 0))
        return 1.0

    def need(micro: int) -> float:
        return training_memory(model.config, micro, checkpoint_activations=checkpointed, accumulated=micro < 64).peak

    monkeypatch.setattr(speed, "measure_step", step)
    monkeypatch.setattr(speed, "free_memory", lambda: need(16) + 1)
    j = job(batch=64, checkpoint_activations=checkpointed)
    assert speed.largest_micro_batch(j, model, World()) == 16
    assert tried == [16]
    monkeypatch.setattr(speed, "free_memory", lambda: 0.0)
    with pytest.raises(ConfigError, match="not even one image"):
        speed.largest_micro_batch(j, model, World())


def test_processes_share_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("ViT-Ti/4", image_size=32, depth=2, classes=3)
    need = training_memory(model.config, 16, accumulated=True).peak
    monkeypatch.setattr(speed, "measure_step", lambda *_, **__: 1.0)
    monkeypatch.setattr(World, "largest", lambda self, value: value)
    monkeypatch.setattr(speed, "free_memory", lambda: 2 * need + 2)
    assert speed.largest_micro_batch(job(batch=128), model, World(size=2)) == 16


def test_free_memory_is_what_the_system_says() -> None:
    assert speed.free_memory() > 2**24


@pytest.mark.parametrize(("limit", "free"), [("1000000\n", 300_000), ("500000\n", 0), ("max\n", None)])
def test_free_memory_ends_where_the_containers_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, free: int | None
) -> None:
    for name, text in (("max", limit), ("current", "800000\n"), ("stat", "anon 5\ninactive_file 100000\nfile 7\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(speed, "_CGROUP", tmp_path)
    found = speed.free_memory()
    assert found == free if free is not None else found > 2**24


def test_steps_with_fewer_tokens_are_measured_beside_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure_step(trial: Job, *args: Any, **options: Any) -> float:
        return 1.0 if trial.settings.drop_tokens else 3.0

    monkeypatch.setattr(speed, "measure_step", measure_step)
    monkeypatch.setattr(speed, "measure_evaluation", lambda *args: 0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    assert speed.measure_run(job(), model(), World(), 100.0) == int(92 / 3)
    assert speed.measure_run(job(drop_tokens=0.5), model(), World(), 100.0) == 92
    assert speed.measure_run(job(drop_tokens=0.5, drop_tokens_for=0.75), model(), World(), 100.0) == int(92 / 1.5)


def test_a_measured_step_drops_the_tokens_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    net = model()
    real = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, x, *more: seen.append(x.shape[1]) or real(self, x, *more))
    speed.measure_step(job(drop_tokens=0.5), net, World(), for_seconds=0.0)
    whole = (SIDE // 8) ** 2
    assert set(seen) == {1 + whole // 2}
