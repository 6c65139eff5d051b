"""Processes of one run on machines of their own: other data, settings, folders, checkpoints, and one that dies."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ranks import Said, begin, ended
from tiny import PRETRAIN_WORDS, image_folder, start
from vitascope.training.state import saved_states

Words = list[str | Path]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("images") / "images")


def words(data: Path, out: Path, *more: str) -> Words:
    intervals = ["--steps=6", "--eval_every=2", "--save_every=2", "--log_every=1"]
    return ["pretrain", data, *intervals, *PRETRAIN_WORDS, f"--out={out}", *more]


def refused(said: list[Said]) -> str:
    """The one line of the first process; all have ended with 2, and the others say nothing."""
    assert [code for code, _, _ in said] == [2, 2], said
    assert said[1][2] == ""
    return said[0][2].splitlines()[-1].removeprefix("vitascope pretrain: error: ")


def other_images(kind: str, images: Path, folder: Path) -> Path:
    """A copy of the images with something else about it, as a second machine may have it."""
    shutil.copytree(images, folder)
    ant, bee = folder / "ant", folder / "bee"
    if kind == "missing":
        (ant / "003.png").unlink()
    elif kind == "swapped":
        for place, to in ((ant, "x"), (bee, "ant"), (folder / "x", "bee")):
            place.rename(folder / to)
    elif kind == "renamed":
        ant.rename(folder / "wasp")
    else:
        size = (ant / "003.png").stat().st_size
        (ant / "003.png").write_bytes(b"x" * size)
    return folder


DIFFERS = "process 1 differs from process 0"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "missing",
            f"{DIFFERS} (training images: 16, not 17; names and sizes of train; names and sizes of held out); ",
        ),
        ("swapped", "process 1 differs from process 0 (names and sizes of train); give all processes the same"),
        ("renamed", "process 1 differs from process 0 (classes: ('bee', 'cat', 'wasp'), not ('ant', 'bee', 'cat'); "),
        ("unreadable", "process 1: {}/ant/003.png: not a JPEG"),
    ],
)
def test_other_data_is_refused_by_all_and_said_by_the_first(kind: str, said: str, images: Path, tmp_path: Path) -> None:
    other, out = other_images(kind, images, tmp_path / "other"), tmp_path / "run"
    assert refused(ended(begin(words(images, out), words(other, out)))).startswith(said.replace("{}", str(other)))
    assert not out.exists()


def test_other_settings_and_no_data_are_refused_too(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    changed = refused(ended(begin(words(images, out), words(images, out, "--lr=0.5"))))
    assert changed.startswith("process 1 differs from process 0 (lr: 0.5, not 0.003); give all processes the same")
    gone = refused(ended(begin(words(images, out), words(tmp_path / "nowhere", out))))
    assert gone.startswith(f"process 1: {tmp_path / 'nowhere'}: no such file or folder")


def test_without_a_common_disk_a_run_is_the_same_and_a_resume_says_what_it_needs(images: Path, tmp_path: Path) -> None:
    # Each has its own copy of the images and its own folder; the best weights are in the first one's alone.
    places = [(shutil.copytree(images, tmp_path / f"images{n}"), tmp_path / f"run{n}") for n in range(2)]
    apart = [words(*place, "--keep=best") for place in places]
    together = words(images, tmp_path / "run", "--keep=best")
    assert [code for code, _, _ in ended(begin(*apart))] == [0, 0]
    assert [code for code, _, _ in ended(begin(together, together))] == [0, 0]
    one, two = places[0][1], places[1][1]
    weights = [load_file(out / "model" / "model.safetensors") for out in (one, tmp_path / "run")]
    assert all(weights[0][name].equal(tensor) for name, tensor in weights[1].items())
    assert (one / "results.json").read_text().count("best_step") == 1
    assert not two.exists()

    again = [[*each, "--resume"] for each in apart]
    put = f"put {one} on every machine, or on a disk that all share"
    assert refused(ended(begin(*again))) == f"process 1 differs from process 0 (run: none, not one); {put}"
    shutil.copytree(one, two)
    shutil.rmtree(two / "checkpoints" / "step-00000006")
    said = refused(ended(begin(*again)))
    assert said.startswith("process 1 differs from process 0 (checkpoint: step-00000004 ")
    assert f"put {one}/checkpoints of one on every machine" in said
    shutil.rmtree(two)
    shutil.copytree(one, two)
    assert [code for code, _, _ in ended(begin(*again))] == [0, 0]


def test_the_death_of_one_ends_the_others_with_one_line(images: Path, tmp_path: Path) -> None:
    each = words(images, tmp_path / "run", "--steps=100000")
    processes = begin(each, each)
    until(lambda: len(saved_states(tmp_path / "run" / "checkpoints")) > 0)
    processes[1].kill()
    began = time.monotonic()
    (code, _, err), (killed, _, _) = ended(processes)
    assert (code, killed) == (1, -signal.SIGKILL)
    assert time.monotonic() - began < 20
    assert "Traceback" not in err
    said = "vitascope pretrain: error: another process died or cannot be reached, see what it says; "
    assert err.splitlines()[-1] == said + "once that is mended, go on with --resume"


def test_one_that_does_not_come_is_not_waited_for_without_end(images: Path, tmp_path: Path) -> None:
    code = "import datetime, vitascope.training.parallel as p; p._PATIENCE = datetime.timedelta(seconds=2); "
    code += "import sys; from vitascope.cli import main; sys.exit(main(sys.argv[1:]))"
    each = words(images, tmp_path / "run")
    shared = {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "29411"}
    process = start(*each, launcher=("-c", code), env=shared)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    said = "vitascope pretrain: error: not all of 2 processes came within 2s; see what the others say"
    assert err.splitlines()[-1] == said


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_torchrun_restarts_what_was_killed_and_it_goes_on(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    launcher = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--max-restarts=2",
        "-m",
        "vitascope",
    ]
    process = start(*words(images, out, "--steps=60", "--resume", "auto"), launcher=tuple(launcher))
    until(lambda: len(saved_states(out / "checkpoints")) == 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err.count("resumed from step ") == 1
    assert "Traceback" not in err
    assert (out / "results.json").is_file()


def until(condition: object) -> None:
    deadline = time.monotonic() + 100
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
