"""Where things are kept that were fetched, converted or measured once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """$VITASCOPE_CACHE, else ~/.cache/vitascope; it need not exist yet."""
    chosen = os.environ.get("VITASCOPE_CACHE")
    return Path(chosen or "~/.cache/vitascope").expanduser()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, renamed to it at the end: `path` is at any time either absent or whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
