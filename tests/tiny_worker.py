"""Workers of a study that behave badly; a module that is imported in no time, since each is a process of its own."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def deaf(study: Any, connection: Connection, threads: int, parent: int) -> None:
    """Does not hear the first SIGTERM, as one that gets it while it saves its last step."""
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    cell = connection.recv()
    Path(study.out, cell.key).touch()
    while len(heard) < 2:
        time.sleep(0.01)


def dying(study: Any, connection: Connection, threads: int, parent: int) -> None:
    """Is killed for its memory after one cell."""
    connection.recv()
    connection.send(None)
    connection.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def stillborn(study: Any, connection: Connection, threads: int, parent: int) -> None:
    """Dies before it reads what it is given."""
    os._exit(1)


def failing(study: Any, connection: Connection, threads: int, parent: int) -> None:
    """Finds something that the user can mend."""
    connection.send(f"{connection.recv().key}: an image cannot be read")
    connection.recv()


def honest(study: Any, connection: Connection, threads: int, parent: int) -> None:
    """Writes down who did what, with how many threads, and ends when nothing more comes."""
    while True:
        try:
            cell = connection.recv()
        except EOFError:
            Path(study.out, f"left {os.getpid()}").touch()
            return
        Path(study.out, cell.key).write_text(f"{os.getpid()} {threads} {parent}")
        time.sleep(0.02)
        connection.send(None)
