"""Several processes: who gets which cell, and how all of them end, whatever happens to one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import tiny_worker
from tiny_study import TINY, data_scaling
from vitascope.errors import Stopped, UserError, VitascopeError
from vitascope.studies import workers
from vitascope.studies.settings import Cell, DataScaling

CELLS = [Cell(contender=TINY[0], size=20, steps=4, seed=seed) for seed in range(5)]


@pytest.fixture
def study(tmp_path: Path) -> DataScaling:
    return data_scaling(tmp_path, "digits")


def use(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(workers, "_work", getattr(tiny_worker, name))


def test_every_cell_is_done_once_in_the_plan_s_order(study: DataScaling, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "honest")
    monkeypatch.setattr(workers.torch, "get_num_threads", lambda: 5)
    heard: list[str] = []
    workers.run_cells(study, CELLS, 2, lambda cell: heard.append(cell.key))
    assert sorted(heard) == sorted(cell.key for cell in CELLS)
    said = [Path(study.out, key).read_text().split() for key in heard]
    assert len({pid for pid, _, _ in said}) == 2
    assert {(threads, parent) for _, threads, parent in said} == {("2", str(os.getpid()))}
    assert multiprocessing.active_children() == []


def test_no_more_processes_than_cells(study: DataScaling, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "honest")
    workers.run_cells(study, CELLS[:1], 7, lambda cell: None)
    assert Path(study.out, CELLS[0].key).is_file()


def test_a_worker_that_misses_the_signal_is_told_again(study: DataScaling, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "deaf")

    def stop() -> None:
        while not Path(study.out, CELLS[0].key).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Stopped, match="all that is done is kept") as caught:
        workers.run_cells(study, CELLS, 2, lambda cell: None)
    thread.join()
    assert (caught.value.exit_code, caught.value.remedy) == (143, "the same command goes on with it")
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("name", ["dying", "stillborn"])
def test_a_worker_that_dies_ends_all_with_a_word(
    study: DataScaling, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use(monkeypatch, name)
    with pytest.raises(VitascopeError, match=r"the process of ViT-32_8-20-4-s\d died .* try fewer --jobs"):
        workers.run_cells(study, CELLS, 2, lambda cell: None)
    assert multiprocessing.active_children() == []


def test_what_the_user_can_mend_is_said_as_in_one_process(study: DataScaling, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "failing")
    heard: list[Cell] = []
    with pytest.raises(UserError, match=r"^ViT-32_8-20-4-s\d: an image cannot be read$"):
        workers.run_cells(study, CELLS, 2, heard.append)
    assert heard == []
    assert multiprocessing.active_children() == []
