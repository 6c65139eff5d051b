"""One process at a time in a folder: a lock that ends with the process, however that ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

from vitascope.errors import ConfigError
from vitascope.file_lock import take

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


def _busy(folder: Path) -> ConfigError:
    return ConfigError(f"another process is at work in {folder}; wait for it, or choose another --out")
