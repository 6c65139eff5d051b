"""Cells done by this process, or by several, each with its share of the cores; a signal ends all after saving."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import torch

from vitascope.errors import Stopped, UserError, VitascopeError
from vitascope.studies.cells import run_cell
from vitascope.studies.data import open_study
from vitascope.studies.settings import Cell, Study
from vitascope.training.observer import Observer
from vitascope.training.signals import StopFlag

Done = Callable[[Cell], None]
Watch = Callable[[Cell], Observer]

_LISTEN = 0.5  # seconds between looks at signals
_PARTING = 10.0  # seconds that a worker with nothing left to do has to end by itself


def run_cells(study: Study, cells: list[Cell], jobs: int, done: Done, watch: Watch | None = None) -> None:
    """Runs all `cells`, `jobs` at a time; `done` hears of each, what `watch` gives shows one at a time.

    Raises what a cell raises, `Stopped` after saving.
    """
    if jobs == 1:
        data = open_study(study)
        for cell in cells:
            try:
                run_cell(study, cell, data, None if watch is None else watch(cell))
            except Stopped as error:
                raise _stopped(error.signal_number) from error
            done(cell)
    else:
        _run_in_processes(study, cells, jobs, done)


def _stopped(number: int) -> Stopped:
    return Stopped(number, "stopped; all that is done is kept", "the same command goes on with it")


def _run_in_processes(study: Study, cells: list[Cell], jobs: int, done: Done) -> None:
    context = multiprocessing.get_context("spawn")  # a fork after torch has started its threads may hang
    threads = max(torch.get_num_threads() // jobs, 1)
    waiting, busy = list(cells), dict[Connection, Cell]()
    processes: dict[Connection, SpawnProcess] = {}
    with StopFlag() as stop:
        try:
            for _ in range(min(jobs, len(cells))):
                here, there = context.Pipe()
                process = context.Process(target=_work, args=(study, there, threads, os.getpid()), daemon=True)
                process.start()
                there.close()
                processes[here] = process
                busy[here] = _give(here, waiting)
            while busy:
                heard = wait(list(busy), _LISTEN)
                if stop.number:  # before listening: the signal may have ended the workers too
                    raise _stopped(stop.number)
                for ready in heard:
                    assert isinstance(ready, Connection)
                    cell = busy.pop(ready)
                    _listen(ready, cell)
                    done(cell)
                    if waiting:
                        busy[ready] = _give(ready, waiting)
            for here, process in processes.items():  # not ended by force, it clears away what it holds
                here.close()
                process.join(_PARTING)
        finally:
            while alive := [process for process in processes.values() if process.is_alive()]:
                for process in alive:
                    process.terminate()  # one that trains saves first; again, since one that just has would not hear it
                alive[0].join(_LISTEN)


def _give(connection: Connection, waiting: list[Cell]) -> Cell:
    cell = waiting.pop(0)
    with suppress(BrokenPipeError):  # it died; `_listen` says so
        connection.send(cell)
    return cell


def _listen(connection: Connection, cell: Cell) -> None:
    """What a worker has to say of its cell; raises what went wrong there."""
    try:
        said = connection.recv()
    except (EOFError, ConnectionError):
        raise VitascopeError(f"the process of {cell.key} died (killed, or out of memory); try fewer --jobs") from None
    if isinstance(said, int):
        raise _stopped(said)
    if said is not None:
        raise UserError(said)


def _work(study: Study, connection: Connection, threads: int, parent: int) -> None:
    """A worker: cells come in, None, an error's text or a signal's number goes out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells us
    torch.set_num_threads(threads)
    logging.getLogger("vitascope").setLevel(logging.WARNING)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    data = open_study(study)
    while True:
        try:
            cell: Cell = connection.recv()
        except EOFError:
            return
        try:
            run_cell(study, cell, data)
            connection.send(None)
        except (Stopped, UserError) as error:
            connection.send(error.signal_number if isinstance(error, Stopped) else str(error))
            return


def _leave_with(parent: int) -> None:
    """A killed study must not go on in its workers: the next start would find their runs locked."""
    while True:
        time.sleep(_LISTEN)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)  # again each time, as in `_run_in_processes`
