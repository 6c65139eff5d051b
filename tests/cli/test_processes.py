"""Real processes: signals, kill -9 at any moment, and several processes that train together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import vitascope as vs
from tiny import PRETRAIN_WORDS, forking, image_folder, start, until
from vitascope.cli import main
from vitascope.recipes.run_folder import CONFIG
from vitascope.training.record import read_metrics
from vitascope.training.state import saved_states

pytestmark = pytest.mark.usefixtures("no_pictures")

RICH_WORDS = ["--ema=0.9", "--dropout=0.1", "--augment.mixup=0.4", "--augment.randaugment_layers=1", "--log_every=1"]


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def steps_in(out: Path) -> int:
    lines = read_metrics(out)
    return lines[-1]["step"] if lines else 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_sigterm_and_ctrl_c_save_and_the_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    data, out, whole = image_folder(tmp_path / "images"), tmp_path / "run", tmp_path / "whole"
    words = ["pretrain", str(data), "--steps=150", "--eval_every=50", *PRETRAIN_WORDS, *RICH_WORDS]
    assert main([*words, "--out", str(whole)]) == 0
    reached = 0
    # To the whole group, as a terminal does: the data workers get the signal too.
    for number, code, name in ((signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")):
        resume = ["--resume"] if reached else []
        process = start(*words, "--out", out, "--workers=1", *resume, start_new_session=True)
        until(lambda beyond=reached + 5: steps_in(out) >= beyond, process)
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == code, stderr
        last = stderr.splitlines()[-1]
        step = int(saved_states(out / "checkpoints")[-1].name.split("-")[1])
        assert last == f"vitascope pretrain: {name}: saved at step {step} of 150; go on with --resume"
        assert stdout == ""
        assert reached < step < 150
        reached = step
    assert main([*words, "--out", str(out), "--resume"]) == 0
    assert weights(out) == weights(whole)
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


KILLER = '''
"""Runs the same training again and again in forked children, each of which kills itself at another moment."""
import os, shutil, signal, sys
from pathlib import Path
import killing
from tiny import pretrain_recipe, splits
from vitascope.checkpoints import output
from vitascope.recipes import run
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop, record, state

for holder, name in (
    (os, "fsync"), (Path, "rename"), (Path, "replace"), (shutil, "rmtree"), (loop, "training_step"),
    (state, "write_safetensors"), (record.Record, "metrics"), (Path, "write_text"),
):
    killing.kill_before(holder, name)
run.draw_curves = lambda folder: None
SETTINGS = {"steps": 6, "save_every": 2, "eval_every": 3, "ema": 0.9, "keep": "best"}

def train(name):
    pretrain(pretrain_recipe(Path(sys.argv[1], name), **SETTINGS), splits=splits())

train("whole")
shutil.rmtree(Path(sys.argv[1], "whole"))
killing.count = 0
train("whole")  # again, because the first also fills the cache
moments, every = killing.count, int(sys.argv[2])
for kill_at in range(1, moments + 1, every):
    pid = os.fork()
    if not pid:
        killing.count, killing.at = 0, kill_at
        train(str(kill_at))
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (kill_at, status)
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_moment_leaves_a_run_that_goes_on_to_the_same_end(tmp_path: Path) -> None:
    from tiny import pretrain_recipe, splits
    from vitascope.recipes.pretrain import pretrain

    settings = {"steps": 6, "save_every": 2, "eval_every": 3, "ema": 0.9, "keep": "best"}
    command = [sys.executable, "-c", KILLER, str(tmp_path), "3"]
    result = subprocess.run(command, capture_output=True, text=True, env=forking(), check=False)
    assert result.returncode == 0, result.stderr
    moments = sorted(int(p.name) for p in tmp_path.iterdir() if p.name != "whole")
    assert len(moments) > 20
    expected = tmp_path / "whole"
    loaded = set()
    for moment in moments:
        out = tmp_path / str(moment)
        begun = (out / CONFIG).exists()
        states = saved_states(out / "checkpoints")
        loaded.add(int(states[-1].name.split("-")[1]) if states else 0)
        pretrain(pretrain_recipe(out, **settings), splits=splits(), resume=begun)
        assert weights(out) == weights(expected), f"killed at moment {moment}"
        assert (out / "metrics.jsonl").read_bytes() == (expected / "metrics.jsonl").read_bytes()
        left = [p.name for p in (out / "checkpoints").iterdir() if p.name.startswith(".")]
        assert left == [], f"killed at moment {moment}"
    assert loaded == {0, 2, 4, 6}  # the moments were spread over the whole run


def torchrun(*words: str | Path) -> subprocess.Popen[str]:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "vitascope")
    return start(*words, launcher=launcher, start_new_session=True)


def test_two_processes_train_what_one_does_and_count_each_image_once(tmp_path: Path) -> None:
    data = tmp_path / "images"
    image_folder(data / "train", 20)
    image_folder(data / "val", 9, seed=1)  # odd, so that the shares differ
    # SGD, because Adam makes visible steps of gradients that are rounding errors of 0, such as those of key biases.
    words = ["pretrain", str(data), "--steps=5", "--eval_every=2", "--log_every=1", "--ema=0.9", *PRETRAIN_WORDS]
    words += ["--optimizer=sgd", "--lr=0.1"]
    process = torchrun(*words, "--micro_batch=2", "--out", tmp_path / "two", "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    result = json.loads(out)  # one object, though there are two processes
    assert result["validation"]["images"] == 9
    assert err.count("step 2: validation") == 1
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    lines = [read_metrics(tmp_path / name) for name in ("one", "two")]
    assert len(lines[0]) == len(lines[1])
    for a, b in zip(*lines, strict=True):
        assert a["step"] == b["step"]
        if "loss" in a:
            assert b["loss"] == pytest.approx(a["loss"], abs=1e-5)
            assert (b["lr"], b["epoch"]) == (a["lr"], a["epoch"])
        else:
            assert b["validation"]["images"] == a["validation"]["images"] == 9
            assert b["validation"]["loss"] == pytest.approx(a["validation"]["loss"], abs=1e-5)
    pictures = {"curves.png", "report.html", "answers.csv", "examples.json"}
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in (tmp_path / "one").iterdir()} | pictures


def test_sigterm_to_torchrun_saves_and_one_process_goes_on(tmp_path: Path) -> None:
    data, out = image_folder(tmp_path / "images"), tmp_path / "run"
    words = ["pretrain", str(data), "--steps=250", "--eval_every=250", "--log_every=1", *PRETRAIN_WORDS]
    process = torchrun(*words, "--workers=1", "--out", out)
    until(lambda: steps_in(out) >= 3, process)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert err.count("SIGTERM: saved at step") == 1
    (state,) = saved_states(out / "checkpoints")
    step = int(state.name.split("-")[1])
    assert 3 <= step < 250
    before = [line for line in read_metrics(out) if "loss" in line]
    assert main([*words, "--out", str(out), "--resume"]) == 0
    after = [line for line in read_metrics(out) if "loss" in line]
    assert after[: len(before)] == before
    assert [line["step"] for line in after] == list(range(1, 251))
    assert vs.load(out).labels == ("ant", "bee", "cat")
