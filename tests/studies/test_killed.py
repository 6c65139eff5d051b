"""A study that was killed at any moment and started again ends with the table of one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiny import forking
from tiny_study import data_scaling, do, quicker, same_results
from vitascope.recipes import run as run_module
from vitascope.studies import cells, report, study
from vitascope.training import loop, state

STEPS = 2 * (4 + 2)  # of a whole study of two runs


class Crash(BaseException):
    """Nothing catches this, as nothing catches a power failure."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    quicker(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[Path]:
    """The folder of a study that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        quicker(patch)
        do(data_scaling(out, images))
        yield out


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
            do(data_scaling(out, images))
    do(data_scaling(out, images))
    same_results(out, whole)
    assert len(steps) == STEPS + twice  # what was done is not done again


def test_a_finished_study_started_again_only_reports(
    tmp_path: Path, images: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file() and path.name != "study.json"}
    for name in ("pretrain", "finetune", "few_shot"):
        monkeypatch.setattr(cells, name, None)
    do(data_scaling(whole, images))
    assert {path: path.read_bytes() for path in before if path.name != "README.md"} == {
        path: said for path, said in before.items() if path.name != "README.md"
    }


KILLER = '''
"""Runs a study in forked children until one ends; each kills itself after so many moments."""
import os, shutil, signal, sys
from pathlib import Path
import killing
import pytest
from tiny_study import data_scaling, do, quicker
from vitascope.studies import cells
from vitascope.training import loop, record, state

for holder, name in (
    (Path, "rename"), (Path, "replace"), (Path, "write_text"), (shutil, "rmtree"),
    (loop, "training_step"), (loop, "evaluate"), (state, "write_safetensors"), (record.Record, "metrics"),
    (cells, "few_shot"),
):
    killing.kill_before(holder, name)
quicker(pytest.MonkeyPatch())
kills = 0
while True:
    pid = os.fork()
    if not pid:
        killing.count, killing.at = 0, int(sys.argv[3])
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
    forked = [sys.executable, "-c", KILLER, str(tmp_path), str(images), "37"]
    result = subprocess.run(forked, capture_output=True, text=True, env=forking(), check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 4
    same_results(tmp_path / "out", whole)
