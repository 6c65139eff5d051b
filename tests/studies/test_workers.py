"""Several processes: who gets which cell, and how all of them end, whatever happens to one."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import torch

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
    assert all(Path(study.out, f"left {pid}").exists() for pid, _, _ in said)  # none was ended by force
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


@pytest.mark.parametrize(
    ("raised", "heard"),
    [
        (None, [None, None]),
        (Stopped(15, "SIGTERM: saved at step 2 of 4"), [15]),
        (UserError("an image cannot be read"), ["an image cannot be read"]),
    ],
)
def test_what_a_worker_says_of_its_cells(
    study: DataScaling, monkeypatch: pytest.MonkeyPatch, raised: Exception | None, heard: list[object]
) -> None:
    done: list[str] = []

    def run_cell(given: DataScaling, cell: Cell, data: str) -> None:
        assert (given, data) == (study, "data")
        done.append(cell.key)
        if raised is not None:
            raise raised

    monkeypatch.setattr(workers, "open_study", lambda given: "data")
    monkeypatch.setattr(workers, "run_cell", run_cell)
    monkeypatch.setattr(workers, "_leave_with", lambda parent: None)
    here, there = multiprocessing.Pipe()
    for cell in CELLS[: len(heard)]:
        here.send(cell)
    here_too = os.dup(here.fileno())
    before, level = signal.getsignal(signal.SIGINT), logging.getLogger("vitascope").level
    try:
        thread = threading.Timer(0.2, lambda: shutdown(here_too))  # nothing more comes
        thread.start()
        workers._work(study, there, torch.get_num_threads(), os.getppid())
        thread.join()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
        logging.getLogger("vitascope").setLevel(level)
    assert done == [cell.key for cell in CELLS[: len(heard)]]
    assert [here.recv() for _ in heard] == heard


def shutdown(handle: int) -> None:
    """The other end of the pipe finds it closed, though what it has sent can still be read here."""
    with socket.socket(fileno=handle) as end:
        end.shutdown(socket.SHUT_WR)


def test_a_worker_ends_itself_when_its_parent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        told.append((pid, number))
        if len(told) == 3:
            raise SystemExit  # this is how the test ends what goes on for ever

    parents = iter([7, 7, 1, 1, 1])
    monkeypatch.setattr(workers, "_LISTEN", 0.0)
    monkeypatch.setattr(workers.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(workers.os, "kill", kill)
    with pytest.raises(SystemExit):
        workers._leave_with(7)
    assert told == [(os.getpid(), signal.SIGTERM)] * 3  # until one is heard
