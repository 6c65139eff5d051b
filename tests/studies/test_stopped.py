"""A study that is told to end, and workers whose parent is killed: what is done stays, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tiny import start, until
from tiny_study import kept_rows, quicker, same_results, words
from vitascope.cli import main
from vitascope.training import loop
from vitascope.training.record import read_metrics


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    quicker(monkeypatch)


def command(out: Path, images: Path, model: str = "ViT-128/8") -> list[str]:
    """A study of a model that the command line knows, two runs."""
    return words("data-scaling", out, images, models=model, sizes=(20, 40), seeds=1, steps=16)


@pytest.mark.usefixtures("tiny")
def test_sigterm_ends_with_143_after_saving_and_the_same_command_goes_on(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, steps = loop.training_step, [0]

    def step(*args: Any) -> None:
        real(*args)
        steps[0] += 1
        if steps[0] == 21:  # in the second run
            os.kill(os.getpid(), signal.SIGTERM)

    chosen = command(tmp_path / "out", images, "small")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", step)
        assert main(chosen) == 143
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == (
        "vitascope study data-scaling: stopped; all that is done is kept; the same command goes on with it"
    )
    result = json.loads((tmp_path / "out" / "study.json").read_text())  # what there is so far is reported
    assert result["runs"] == {"done": 1, "left": 1, "dropped": []}
    assert steps[0] == 21
    assert main(chosen) == 0
    assert main(command(tmp_path / "whole", images, "small")) == 0
    same_results(tmp_path / "out", tmp_path / "whole")


# The speed of the models is not what is tested.
LAUNCHER = """
from vitascope.training import speed
speed._MEASURED = 0.0
from vitascope.cli import main
raise SystemExit(main())
"""


def children(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def evaluated(out: Path) -> int:
    """How often runs of a study have looked at their validation images."""
    records = [path.parent for path in out.glob("runs/*/pretrain/metrics.jsonl")]
    return sum("validation" in line for folder in records for line in read_metrics(folder))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
def test_two_workers_leave_with_a_command_that_is_killed_and_the_next_start_goes_on(
    tmp_path: Path, images: Path
) -> None:
    out = tmp_path / "out"
    two_jobs = [*command(out, images), "--jobs=2"]
    process = start(*two_jobs, launcher=("-c", LAUNCHER))
    until(lambda: evaluated(out) >= 3, process)
    workers = children(process)
    assert len(workers) >= 2
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while not all(gone(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(gone(pid) for pid in workers)
    assert not list(out.glob("cells/*.json"))  # it was in the midst of it
    assert main([*two_jobs, "--json"]) == 0
    # One process after the other comes to the same numbers as two side by side.
    assert main([*command(tmp_path / "whole", images), "--json"]) == 0
    stored = json.loads((out / "costs.json").read_text())
    again = json.loads((tmp_path / "whole" / "costs.json").read_text())
    assert stored.pop("on").keys() == again.pop("on").keys()  # threads differ
    for costs in (*stored["models"].values(), *again["models"].values()):
        del costs["images_per_second"]
    assert stored == again
    assert (out / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert len((out / "table.csv").read_text().splitlines()) == 1 + 2 * 4
    assert kept_rows(out) == kept_rows(tmp_path / "whole")
