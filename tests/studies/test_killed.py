"""A study that was killed at any moment and started again ends with the table of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiny import start
from tiny_study import TINY, data_scaling, do, shrink, target
from vitascope.cli import main
from vitascope.recipes import run as run_module
from vitascope.studies import cells, report, study
from vitascope.studies.lineup import LINEUPS
from vitascope.studies.settings import DataScaling
from vitascope.training import loop, state
from vitascope.training.record import read_metrics

REAL = LINEUPS["small"]
STEPS = 2 * (4 + 2)  # of a whole study of two runs
UNLIKE = {"seconds"}  # what rows may differ in


class Crash(BaseException):
    """Nothing catches this, as nothing catches a power failure."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    monkeypatch.setitem(LINEUPS, "small", TINY[:1])
    monkeypatch.setattr(report, "draw_study", scribble)
    monkeypatch.setattr(report, "save_figure", lambda drawing, path: path.with_suffix(".png").write_text(drawing))


def scribble(*_: Any) -> str:
    """A figure in no time."""
    return "figure"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return target(tmp_path_factory.mktemp("target"))


def small(out: Path, images: Path) -> DataScaling:
    """One model, two sizes."""
    return data_scaling(out, images)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[Path]:
    """The folder of a study that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setitem(LINEUPS, "small", TINY[:1])
        patch.setattr(report, "draw_study", scribble)
        patch.setattr(report, "save_figure", lambda drawing, path: None)
        do(small(out, images))
        yield out


def rows(out: Path) -> dict[str, Any]:
    """All rows without what a clock had a say in."""
    found = {path.name: json.loads(path.read_text()) for path in (out / "cells").glob("*.json")}
    return {name: {key: value for key, value in row.items() if key not in UNLIKE} for name, row in found.items()}


def same(out: Path, expected: Path) -> None:
    """The folder's results are the expected ones, and nothing else is left in it."""
    assert (out / "table.csv").read_bytes() == (expected / "table.csv").read_bytes()
    assert rows(out) == rows(expected)
    for name in ("settings.json", "costs.json"):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    tables = [json.loads((folder / "study.json").read_text()) for folder in (out, expected)]
    for name in ("table", "crossovers", "verdicts", "models", "runs", "diverged"):
        assert tables[0][name] == tables[1][name], name


def at(holder: Any, name: str, number: int = 1, *, after: bool = False) -> Callable[[pytest.MonkeyPatch], None]:
    """A crash when `name` is called for the `number`-th time, or when that call is over."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real, calls = getattr(holder, name), [0]

        def wrapped(*args: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == number and not after:
                raise Crash(name)
            result = real(*args, **options)
            if calls[0] == number:
                raise Crash(name)
            return result

        patch.setattr(holder, name, wrapped)

    return plant


def half_written(patch: pytest.MonkeyPatch) -> None:
    """A crash while the second row is written: a part lies under another name."""
    real, calls = cells.write_json, [0]

    def write(path: Path, values: dict[str, Any]) -> None:
        calls[0] += 1
        if calls[0] == 2:
            (path.parent / f".{path.name}.abc.tmp").write_text('{"model": ')
            raise Crash("half a row")
        real(path, values)

    patch.setattr(cells, "write_json", write)


# Where it crashes, and how many steps are done twice because of it.
PLACES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], int]] = {
    "before-the-settings": (at(study, "write_json"), 0),
    "at-the-first-step": (at(loop, "training_step"), 0),
    "in-the-first-pre-training": (at(loop, "training_step", 3), 0),
    "after-a-step-not-saved": (at(loop, "training_step", 3, after=True), 1),
    "while-a-state-is-saved": (at(state, "write_safetensors", 4), 1),
    "while-the-result-is-judged": (at(run_module, "_evaluate_result"), 0),
    "while-the-model-is-written": (at(run_module, "save"), 0),
    "between-pre-training-and-fine-tuning": (at(cells, "finetune"), 0),
    "in-fine-tuning": (at(loop, "training_step", 6, after=True), 1),
    "before-few-shot": (at(cells, "few_shot"), 0),
    "before-the-row": (at(cells, "write_json"), 0),
    "after-the-row": (at(cells, "write_json", after=True), 0),
    "between-two-runs": (at(cells, "nested_subset", 2), 0),
    "while-the-second-row-is-written": (half_written, 0),
    "before-the-report": (at(report, "study_result"), 0),
    "before-the-table": (at(report, "csv_table"), 0),
    "before-the-readme": (at(report, "study_text"), 0),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_study_that_crashed_goes_on_to_the_same_tables(
    place: str, tmp_path: Path, images: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, twice = PLACES[place]
    steps: list[int] = []
    real = loop.training_step

    def step(job: Any, state: Any, *rest: Any) -> None:
        real(job, state, *rest)
        steps.append(state.counters.step)

    monkeypatch.setattr(loop, "training_step", step)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises(Crash):
            do(small(out, images))
    do(small(out, images))
    same(out, whole)
    assert len(steps) == STEPS + twice  # what was done is not done again


def test_a_finished_study_started_again_only_reports(
    tmp_path: Path, images: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file() and path.name != "study.json"}
    for name in ("pretrain", "finetune", "few_shot"):
        monkeypatch.setattr(cells, name, None)
    do(small(whole, images))
    assert {path: path.read_bytes() for path in before if path.name != "README.md"} == {
        path: said for path, said in before.items() if path.name != "README.md"
    }


KILLER = '''
"""Runs a study in forked children until one ends; each kills itself after so many moments."""
import os, shutil, signal, sys
from pathlib import Path
import pytest
from tiny_study import TINY, data_scaling, do, shrink
from vitascope.studies import cells, report
from vitascope.studies.lineup import LINEUPS
from vitascope.training import loop, record, state

count, at = 0, 0

def before_each(holder, name):
    real = getattr(holder, name)
    def wrapped(*args, **options):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)
    setattr(holder, name, wrapped)

for holder, name in (
    (Path, "rename"), (Path, "replace"), (Path, "write_text"), (shutil, "rmtree"),
    (loop, "training_step"), (loop, "evaluate"), (state, "write_safetensors"), (record.Record, "metrics"),
    (cells, "few_shot"),
):
    before_each(holder, name)
patch = pytest.MonkeyPatch()
shrink(patch)
LINEUPS["small"] = TINY[:1]
report.draw_study = lambda *_: "figure"
report.save_figure = lambda drawing, path: path.with_suffix(".png").write_text(drawing)
kills = 0
while True:
    pid = os.fork()
    if not pid:
        count, at = 0, int(sys.argv[3])
        do(data_scaling(Path(sys.argv[1], "out"), sys.argv[2]))
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if status == 0:
        break
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    kills += 1
    assert kills < 100, "it does not come any further"
print(kills)
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_study_killed_again_and_again_comes_to_the_same_tables(tmp_path: Path, images: Path, whole: Path) -> None:
    # Without a GPU in sight, since a process that has used one cannot be forked.
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLER, str(tmp_path), str(images), "37"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 4
    same(tmp_path / "out", whole)


def words(out: Path, images: Path) -> list[str]:
    """A study of a model that the command line knows, two runs."""
    options = {
        "models": "ViT-128/8",
        "sizes": "20,40",
        "seeds": 1,
        "steps": 16,
        "batch": 8,
        "image_size": 16,
        "validation_images": 12,
        "finetune_steps": 2,
        "shots": 2,
        "draws": 2,
        "out": out,
    }
    source = "fractals:classes=3,size=16,instances=20,validation=0"
    return ["study", "data-scaling", source, str(images), *(f"--{name}={value}" for name, value in options.items())]


def test_sigterm_ends_with_143_after_saving_and_the_same_command_goes_on(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, steps = loop.training_step, [0]

    def step(*args: Any) -> None:
        real(*args)
        steps[0] += 1
        if steps[0] == 21:  # in the second run
            os.kill(os.getpid(), signal.SIGTERM)

    chosen = [word.replace("ViT-128/8", "small") for word in words(tmp_path / "out", images)]
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
    reference = [word.replace(str(tmp_path / "out"), str(tmp_path / "whole")) for word in chosen]
    assert main(reference) == 0
    same(tmp_path / "out", tmp_path / "whole")


# The speed of the models is not what is tested.
LAUNCHER = """
from vitascope.studies import cost
cost._MEASURED = 0.0
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


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits for `condition`; fails with what the process said if it ended first."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened for two minutes"
        time.sleep(0.01)


def evaluated(out: Path) -> int:
    """How often runs of a study have looked at their validation images."""
    records = [path.parent for path in out.glob("runs/*/pretrain/metrics.jsonl")]
    return sum("validation" in line for folder in records for line in read_metrics(folder))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
def test_two_workers_leave_with_a_command_that_is_killed_and_the_next_start_goes_on(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LINEUPS, "small", REAL)
    out = tmp_path / "out"
    command = [*words(out, images), "--jobs=2"]
    process = start(*command, launcher=("-c", LAUNCHER))
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
    assert main([*command, "--json"]) == 0
    # One process after the other comes to the same numbers as two side by side.
    assert main([*words(tmp_path / "whole", images), "--json"]) == 0
    stored = json.loads((out / "costs.json").read_text())
    again = json.loads((tmp_path / "whole" / "costs.json").read_text())
    assert stored.pop("on").keys() == again.pop("on").keys()  # threads differ
    for costs in (*stored["models"].values(), *again["models"].values()):
        del costs["images_per_second"]
    assert stored == again
    assert (out / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert len((out / "table.csv").read_text().splitlines()) == 1 + 2 * 4
    assert rows(out) == rows(tmp_path / "whole")
