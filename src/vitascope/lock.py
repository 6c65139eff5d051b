"""One process at a time in a folder: a lock that ends with the process, however that ends."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

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
    try:
        import fcntl
    except ImportError:  # Windows
        folder.mkdir(parents=True, exist_ok=True)
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    if place in _held:
        if _held[place] != get_ident():
            raise _busy(folder)
        yield
        return
    with (place / LOCK).open("a") as file:
        try:
            # Not flock, which a data worker would inherit and keep for seconds after its parent was killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise _busy(folder) from None
            log.warning("%s: this file system has no locks (%s); start only one run in it", folder, error.strerror)
        _held[place] = get_ident()
        try:
            yield
        finally:
            del _held[place]


def _busy(folder: Path) -> ConfigError:
    return ConfigError(f"another process is at work in {folder}; wait for it, or choose another --out")
