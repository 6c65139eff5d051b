"""Budgets of time and of memory: what is measured before a run, and when none fits."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import vitascope as vs
from short_run import BASE, differ, weights
from tiny import CLASSES, pretrain_recipe, splits
from vitascope.errors import ConfigError, Stopped
from vitascope.recipes.pretrain import pretrain

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_a_budget_of_time_is_kept_and_a_model_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, steps=None, time_budget="3s", log_every=50, eval_every=None), splits=splits())
    results = json.loads((out / "results.json").read_text())
    assert results["steps"] > 10
    assert 0.4 < results["seconds"] < 6
    assert yaml.safe_load((out / "config.yaml").read_text())["steps"] == results["steps"]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["lr"] for line in lines if "lr" in line][-1] < 1e-4  # the schedule ended with the run
    assert vs.load(out).labels == CLASSES


def test_a_budget_too_small_for_a_step_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.training.speed.measure_step", lambda *_, **__: 5.0)
    with pytest.raises(ConfigError, match=r"a step takes 5\.00s .* give more time"):
        pretrain(pretrain_recipe(tmp_path / "run", steps=None, time_budget="3s"), splits=splits())
    assert not (tmp_path / "run").exists()


def test_measuring_leaves_the_model_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.recipes.run.measure_run", _measure_and_say(5))
    measured = pretrain(
        pretrain_recipe(tmp_path / "a", **{**BASE, "steps": None, "time_budget": "9s"}), splits=splits()
    )
    given = pretrain(pretrain_recipe(tmp_path / "b", **BASE), splits=splits())
    assert not differ(weights(measured), weights(given))


def _measure_and_say(steps: int) -> Callable[..., int]:
    from vitascope.training.speed import measure_run

    def measured(*args: Any) -> int:
        assert measure_run(*args) > 0
        return steps

    return measured


def test_a_budget_counts_on_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.training import speed

    real, asked = speed.training_batches, []

    def batches(*args: Any) -> Any:
        asked.append(args[-1])
        return real(*args)

    monkeypatch.setattr(speed, "training_batches", batches)
    recipe = pretrain_recipe(tmp_path / "run", **{**BASE, "steps": None, "time_budget": "2s", "workers": 1})
    pretrain(recipe, splits=splits())
    assert asked == [1]


def test_a_signal_while_measuring_stops_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.training import speed

    real = speed.training_step

    def step(*args: Any) -> None:
        real(*args)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(speed, "training_step", step)
    with pytest.raises(Stopped, match="before the first step") as caught:
        pretrain(pretrain_recipe(tmp_path / "run", steps=None, time_budget="9s"), splits=splits())
    assert caught.value.exit_code == 143
    assert not (tmp_path / "run").exists()


def test_a_micro_batch_found_automatically_fits_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.training import speed

    real, tried = speed.training_step, []

    def step(job: Any, *rest: Any) -> None:
        tried.append(job.settings.micro_batch)
        if job.settings.micro_batch > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
        real(job, *rest)

    monkeypatch.setattr(speed, "training_step", step)
    out = tmp_path / "run"
    pretrain(pretrain_recipe(out, **BASE, micro_batch="auto"), splits=splits())
    assert yaml.safe_load((out / "config.yaml").read_text())["micro_batch"] == 2
    assert sorted(set(tried), reverse=True) == [6, 3, 2]


def test_not_even_one_image_fitting_the_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("vitascope.training.speed.training_step", full)
    with pytest.raises(ConfigError, match="not even one image fits"):
        pretrain(pretrain_recipe(tmp_path / "run", micro_batch="auto"), splits=splits())


def test_other_faults_while_measuring_are_not_taken_for_a_full_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("vitascope.training.speed.training_step", wrong)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        pretrain(pretrain_recipe(tmp_path / "run", micro_batch="auto"), splits=splits())
