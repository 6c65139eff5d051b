"""Going on with a run on whose folder or images something was done meanwhile: the same run to the bit, or one line."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vitascope as vs
from tiny import PRETRAIN_WORDS, image_folder, pretrain_recipe, start
from vitascope.errors import ConfigError, UserError
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop
from vitascope.training.record import read_metrics
from vitascope.training.state import saved_states

pytestmark = pytest.mark.usefixtures("no_pictures")

SETTINGS: dict[str, Any] = {"steps": 8, "save_every": 2, "eval_every": 2, "log_every": 1, "keep": "best", "ema": 0.5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, and out/, a run on them that nothing happened to."""
    place = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
        pretrain(recipe(place / "out", image_folder(place / "images")))
    return place


def recipe(out: Path, images: Path, **changes: Any) -> Any:
    return pretrain_recipe(out, data=str(images), **{**SETTINGS, **changes})


class Crash(BaseException):
    """Nothing catches this, as nothing catches a power failure."""


@pytest.fixture
def cut(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same run, cut off in step 5, on images of its own."""
    shutil.copytree(whole / "images", tmp_path / "images")
    real = loop.training_step

    def crash(job: Any, state: Any, *rest: Any) -> Any:
        if state.counters.step == 5:
            raise Crash
        return real(job, state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", crash)
        with pytest.raises(Crash):
            pretrain(recipe(tmp_path / "out", tmp_path / "images"))
    return tmp_path


def go_on(place: Path, **changes: Any) -> None:
    pretrain(recipe(place / "out", place / "images", **changes), resume=True)


def same(place: Path, whole: Path) -> None:
    for name in ("model/model.safetensors", "metrics.jsonl"):
        assert (place / "out" / name).read_bytes() == (whole / "out" / name).read_bytes(), name


def rename_class(images: Path) -> None:
    (images / "ant").rename(images / "wasp")


def swap_classes(images: Path) -> None:
    for name, to in (("ant", "x"), ("bee", "ant"), ("x", "bee")):
        (images / name).rename(images / to)


def move_image(images: Path) -> None:
    (images / "ant" / "003.png").rename(images / "bee" / "003.png")


def replace_image(images: Path) -> None:
    (images / "ant" / "003.png").write_bytes((images / "bee" / "001.png").read_bytes() + b"\0")


def add_image(images: Path) -> None:
    shutil.copy(images / "bee" / "001.png", images / "bee" / "999.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_class, r"classes: 3 \(bee, cat, wasp\), was 3 \(ant, bee, cat\)"),
        (swap_classes, "data: other files, names or sizes in train"),
        (move_image, "data: other files, names or sizes in train|training images"),
        (replace_image, "data: other files, names or sizes in train"),
        (add_image, "training images: 18, was 17"),
    ],
)
def test_other_images_are_refused(change: Callable[[Path], None], said: str, cut: Path) -> None:
    change(cut / "images")
    with pytest.raises(ConfigError, match=said) as caught:
        go_on(cut)
    assert "\n" not in str(caught.value)


def test_the_same_images_elsewhere_are_the_same_run(cut: Path, whole: Path) -> None:
    (cut / "images").rename(cut / "moved")
    for path in (cut / "moved").rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))
    pretrain(recipe(cut / "out", cut / "moved", on_error="skip"), resume=True)
    same(cut, whole)


def test_an_image_that_can_no_longer_be_read_may_be_left_out(cut: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = next(iter(sorted((cut / "images" / "ant").iterdir())))
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(UserError, match=path.name):
        go_on(cut)
    with caplog.at_level(logging.WARNING):
        go_on(cut, on_error="skip")
    assert re.search(r"1[67] training images can be read, 17 at the start|left out as unreadable", caplog.text)


def test_an_edited_config_cannot_mix_two_runs(cut: Path, whole: Path) -> None:
    config = cut / "out" / "config.yaml"
    before = config.read_text()
    for old, new in (("lr: 0.003", "lr: 0.5"), ("seed: 0", "seed: 1"), ("optimizer: adamw", "optimizer: sgd")):
        assert old in before
        config.write_text(before.replace(old, new))
        name, _, value = new.partition(": ")
        changed = float(value) if name == "lr" else int(value) if name == "seed" else value
        # Another seed holds other images out, which is noticed first.
        said = r"was written with other settings or data than config\.yaml|names or sizes in held out"
        with pytest.raises(UserError, match=said):
            go_on(cut, **{name: changed})
    config.write_text(before.replace("keep_checkpoints: 2", "keep_checkpoints: 5"))
    go_on(cut)
    same(cut, whole)


def test_what_may_change_takes_effect(cut: Path) -> None:
    go_on(cut, save_every=1, keep_checkpoints=9, micro_batch=3)
    names = [path.name for path in saved_states(cut / "out" / "checkpoints")]
    assert names[-4:] == [f"step-{step:08d}" for step in (5, 6, 7, 8)]


@pytest.mark.parametrize("content", [b"", b"\0" * 400, b"\xff\xfe\x80 garbage\n{}\n", b'{"step": 1, "los'])
def test_a_record_that_was_damaged_does_not_stop_the_run(
    content: bytes, cut: Path, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("metrics.jsonl", "speed.jsonl"):
        (cut / "out" / name).write_bytes(content)
    go_on(cut)
    assert re.search(r"has lost \d+ of \d+ lines, cut or damaged", caplog.text)
    assert (cut / "out" / "model" / "model.safetensors").read_bytes() == (
        whole / "out" / "model" / "model.safetensors"
    ).read_bytes()
    assert [line["step"] for line in read_metrics(cut / "out") if "loss" in line] == [5, 6, 7, 8]


def test_best_weights_that_were_lost_are_said_and_chosen_anew(cut: Path, caplog: pytest.LogCaptureFixture) -> None:
    (cut / "out" / "checkpoints" / "best.safetensors").write_bytes(b"\0" * 99)
    go_on(cut)
    assert re.search(r"the best weights, of step \d, are lost; the best is chosen from here on", caplog.text)
    assert json.loads((cut / "out" / "results.json").read_text())["best_step"] > 4


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_two_starts_at_once_leave_one_run_and_one_line(more: list[str], tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "out"
    if more:
        shutil.copytree(whole / "out", out)
    words = ["pretrain", whole / "images", "--steps=300", "--eval_every=300", *PRETRAIN_WORDS, "--out", out, *more]
    processes = [start(*words, f"--seed={seed}") for seed in (1, 2)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2], said
    line = said[codes.index(2)].splitlines()[-1]
    assert re.search(r"error: (another process is at work in .*; wait for it|.* exists; choose another --out)", line)
    seed = 1 + codes.index(0)
    assert f"seed: {seed}\n" in (out / "config.yaml").read_text()
    assert vs.load(out).card["recipe"]["seed"] == seed
    assert len(read_metrics(out)) == 30 + 1
