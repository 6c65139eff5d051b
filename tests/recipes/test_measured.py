"""Before the first step: a plan that is said, what it refuses, and a run that ends by the clock."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import vitascope as vs
from short_run import BASE, Clock, differ, weights
from tiny import CLASSES, pretrain_recipe, source, splits
from vitascope.data.source import Splits
from vitascope.errors import ConfigError, Stopped
from vitascope.recipes import plan, run
from vitascope.recipes.plan import DAY, Limits
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop, speed
from vitascope.training.parallel import world

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`measured(seconds, micro_batch)`: what a step is found to take."""

    def say(step: float, micro: int = 6) -> None:
        monkeypatch.setattr(plan, "measure_step", lambda *_: (step, micro))

    return say


def test_the_plan_is_one_line_before_the_first_step(
    tmp_path: Path, measured: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measured(600.0)
    monkeypatch.setattr(loop, "training_step", lambda *_: pytest.fail("a step was made"))
    recipe = pretrain_recipe(tmp_path / "run", steps=7, eval_every=None, save_every=None)
    with caplog.at_level(logging.INFO), pytest.raises(pytest.fail.Exception):
        pretrain(recipe, splits=splits(), limits=Limits())
    (line,) = [r.message for r in caplog.records if "steps of" in r.message]
    said = r"[\d.]+ M parameters at 16 px: 7 steps of 6 images, 10m00s each: about 1h50m, until .*; 0 MB of memory"
    assert re.fullmatch(said, line)


def test_more_than_a_day_is_refused_with_what_else_there_is(tmp_path: Path, measured: Any) -> None:
    measured(600.0)
    recipe = pretrain_recipe(tmp_path / "run", steps=1000)
    with pytest.raises(ConfigError, match=r"about 7d19h; give --time-budget 8h, .*--yes to start it") as caught:
        pretrain(recipe, splits=splits(), limits=Limits(longest=DAY))
    assert len(str(caught.value)) < 220
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r", 5 times: about"):
        pretrain(pretrain_recipe(tmp_path / "run", steps=40), splits=splits(), limits=Limits(longest=DAY, runs=5))


def test_what_does_not_fit_the_memory_is_done_in_parts_that_are_said_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = pretrain(pretrain_recipe(tmp_path / "whole", **BASE, optimizer="sgd"), splits=splits())
    monkeypatch.setattr(plan, "fitting_micro_batch", lambda *_: (2, 1e6))
    with caplog.at_level(logging.INFO):
        parts = pretrain(pretrain_recipe(tmp_path / "parts", **BASE, optimizer="sgd"), splits=splits())
    assert "6 images in parts of 2" in caplog.text
    assert yaml.safe_load((tmp_path / "parts/config.yaml").read_text())["micro_batch"] == 2
    assert yaml.safe_load((tmp_path / "whole/config.yaml").read_text())["micro_batch"] is None
    a, b = weights(whole), weights(parts)
    assert all(float((a[name] - b[name]).abs().max()) < 1e-4 for name in a)  # the same but for rounding
    pretrain(pretrain_recipe(tmp_path / "parts", **BASE, optimizer="sgd"), splits=splits(), resume=True)


def test_a_micro_batch_found_automatically_is_kept(tmp_path: Path, measured: Any) -> None:
    measured(0.01, micro=3)
    pretrain(pretrain_recipe(tmp_path / "run", **BASE, micro_batch="auto"), splits=splits())
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["micro_batch"] == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"warmup": 10_000.0}, "a warm-up of 10,000 steps is too long for a run of 5: 3 are used; --warmup 0.1"),
        ({"batch": 64}, "a batch of 64 shows each of the 20 training images more than once a step; try --batch 8"),
        ({"eval_every": 50}, "--eval-every 50 is longer than the run of 5 steps: nothing is evaluated before its end"),
        ({"save_every": 50}, "--save-every 50 is longer than the run of 5 steps: nothing is saved before its end"),
        ({}, ""),
    ],
)
def test_what_does_not_suit_the_length_of_a_run_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], said: str
) -> None:
    pretrain(pretrain_recipe(tmp_path / "run", **{**BASE, **changes}), splits=splits())
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING and r.name.endswith("plan")]
    assert len(warned) == bool(said)
    assert said in "".join(warned)


def test_without_a_command_line_no_step_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plan, "measure_step", lambda *_: pytest.fail("a step was measured"))
    with caplog.at_level(logging.INFO):
        pretrain(pretrain_recipe(tmp_path / "run", **BASE), splits=splits())
    assert "5 steps of 6 images; 0 MB of memory" in caplog.text


def test_measuring_leaves_the_result_as_it_is(tmp_path: Path, measured: Any) -> None:
    with_probe = pretrain(pretrain_recipe(tmp_path / "a", **BASE), splits=splits(), limits=Limits())
    measured(0.01)
    without = pretrain(pretrain_recipe(tmp_path / "b", **BASE), splits=splits())
    assert not differ(weights(with_probe), weights(without))


def budgeted(out: Path, **changes: Any) -> Any:
    return pretrain_recipe(
        out, **{"steps": None, "time_budget": "60s", "eval_every": None, "save_every": None, **changes}
    )


def read(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return json.loads((out / "results.json").read_text()), [json.loads(line) for line in lines]


@pytest.mark.parametrize("planned", [0.3, 1.0, 3.0])
def test_a_run_by_the_clock_ends_in_time_with_its_schedule(
    tmp_path: Path, measured: Any, monkeypatch: pytest.MonkeyPatch, planned: float
) -> None:
    measured(planned)
    clock = Clock(monkeypatch, step=1.0)
    out = tmp_path / "run"
    pretrain(budgeted(out, lr=1.0, log_every=1), splits=splits())
    assert 1052 < clock.now < 1058  # then the model and its page are written
    results, lines = read(out)
    assert results["steps"] == clock.now - 1000
    rates = [line["lr"] for line in lines if "lr" in line]
    assert max(rates) > 0.9
    assert rates[-1] < 0.01
    assert lines[-1]["validation"].items() <= results["validation"].items()
    assert yaml.safe_load((out / "config.yaml").read_text())["time_budget"] == "60s"
    assert vs.load(out).labels == CLASSES


def test_a_step_in_bfloat16_tells_less_than_judging_in_float32_takes(tmp_path: Path) -> None:
    data: Any = SimpleNamespace(validation=source(9), test=None)
    image = {}
    with world("cpu") as w:
        for precision in ("float32", "bfloat16"):
            recipe = budgeted(tmp_path / "run", precision=precision)
            image[precision] = plan.by_the_clock(recipe, data, w, 6.0, 1000, 0.0, 3.0)[1].image
    assert image["float32"] == pytest.approx(6.0 / recipe.batch / 3)
    assert image["bfloat16"] == pytest.approx(speed._FLOAT32 * image["float32"])


def test_the_time_before_training_counts(tmp_path: Path, measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(1.0)
    clock = Clock(monkeypatch, step=1.0)
    pretrain(budgeted(tmp_path / "run"), splits=splits(), limits=Limits(begun=clock.now - 20))
    assert read(tmp_path / "run")[0]["steps"] == pytest.approx(37, abs=2)


def test_a_resumed_run_by_the_clock_has_what_was_left(
    tmp_path: Path, measured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(1.0)
    Clock(monkeypatch, step=1.0, stop_at=20)
    with pytest.raises(Stopped):
        pretrain(budgeted(tmp_path / "run"), splits=splits())
    monkeypatch.setattr("vitascope.recipes.run.measure_step", lambda *_: (1.0, 6))
    pretrain(budgeted(tmp_path / "run"), splits=splits(), resume=True)
    results, lines = read(tmp_path / "run")
    assert 55 <= results["steps"] <= 60
    assert lines[-2]["lr"] < 2e-4


def test_a_test_set_too_large_for_the_time_is_judged_in_part_and_that_is_said(
    tmp_path: Path, measured: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measured(1.0)
    clock = Clock(monkeypatch, step=1.0)
    evaluate = run.evaluate

    def slow(*args: Any, **options: Any) -> Any:
        def each_batch(done: int) -> None:
            clock.now += 2.0

        return evaluate(*args, **{**options, "each_batch": each_batch})

    monkeypatch.setattr(run, "evaluate", slow)
    pretrain(budgeted(tmp_path / "run"), splits=Splits(train=source(), validation=source(9), test=source(60)))
    results, _ = read(tmp_path / "run")
    assert 0 < results["test"]["images"] < 60
    assert f"test: {results['test']['images']} of 60 images, taken at random, were counted" in caplog.text


def test_a_budget_too_small_for_a_step_says_so(tmp_path: Path, measured: Any) -> None:
    measured(50.0)
    with pytest.raises(ConfigError, match=r"a step takes 50\.00s .* give more time"):
        pretrain(budgeted(tmp_path / "run", time_budget="9s"), splits=splits())
    assert not (tmp_path / "run").exists()


def test_a_moment_of_other_work_while_measuring_refuses_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tries = [300.0, 0.1]
    Clock(monkeypatch, step=1.0)
    monkeypatch.setattr(plan, "measure_step", lambda *_: (tries.pop(0), 6))
    pretrain(budgeted(tmp_path / "run"), splits=splits())
    assert not tries
    assert "0.1s each" in caplog.text


def test_a_signal_while_measuring_stops_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = speed.gradients

    def gradients(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(speed, "gradients", gradients)
    with pytest.raises(Stopped, match="before the first step") as caught:
        pretrain(pretrain_recipe(tmp_path / "run"), splits=splits(), limits=Limits())
    assert caught.value.exit_code == 143
    assert not (tmp_path / "run").exists()


DEEP_IN_A_PRODUCT = """
import hashlib
from vitascope.training.signals import StopFlag
with StopFlag(hurry=True):
    print("in", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**8)  # a minute in which Python hears of no signal
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_deep_in_a_product_with_nothing_to_save_ends_at_once(number: int) -> None:
    words, pipe = [sys.executable, "-c", DEEP_IN_A_PRODUCT], subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "in\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
        assert "before the first step: nothing to save" in process.stderr.read()
