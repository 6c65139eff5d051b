"""One process at a time in a folder: a lock that ends with the process, however that ends."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import IO, Any

from vitascope.errors import ConfigError

log = logging.getLogger(__name__)

LOCK = ".lock"
_held: dict[Path, int] = {}  # folders that this process has locked, and the thread that did


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes `folder` and keeps every other process out of it; `ConfigError` when one is in it already.

    Whoever has the lock may take it again. Its file is never replaced and never deleted, also not with the rest of the
    folder, so that all mean the same one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    if place in _held:
        if _held[place] != get_ident():
            raise _busy(folder)
        yield
        return
    with (place / LOCK).open("a") as file:
        if not take(file):
            raise _busy(folder)
        _held[place] = get_ident()
        try:
            yield
        finally:
            del _held[place]


def take(file: IO[Any], *, wait: bool = False, threads: bool = False) -> bool:
    """Locks a file that is open for writing until it is closed → False where another process has it and none waits.

    Where there are no locks (Windows, some network disks) it is True. With `threads` it keeps out other threads too,
    and a process forked meanwhile keeps it for as long as it lives, as a data worker does after its parent was killed.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        (fcntl.flock if threads else fcntl.lockf)(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        log.warning("%s: this file system has no locks (%s); start only one command in it", file.name, error.strerror)
    return True


def _busy(folder: Path) -> ConfigError:
    return ConfigError(f"another process is at work in {folder}; wait for it, or choose another --out")
