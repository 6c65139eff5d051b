"""Files that are either wholly there or not at all, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

_DAMAGE = (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, MemoryError, zipfile.BadZipFile)
"""All that NumPy and zipfile raise for a file with a bit turned somewhere."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields the name of a file to write beside `path`, forced to the disk and renamed to `path` at the end.

    After an error `path` is as it was and the temporary file is gone; a killed process leaves one behind, named
    .NAME.….tmp. Several processes may write the same `path`: the last one's stays. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.chmod(0o666 & ~umask())
        yield temporary
        force_to_disk(temporary)
        temporary.replace(path)
        force_to_disk(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def recall(path: Path, key: str) -> Any:
    """What `remember` kept, or None: nothing was, or the file cannot be read."""
    return _remembered(path).get(key)


def remember(path: Path, key: str, value: Any) -> None:
    """Keeps a JSON value under `key` in the file `path`, where that can be written."""
    try:
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps({**_remembered(path), key: value}, indent=1))
    except OSError as error:  # a read-only home only costs the next start the time of measuring
        log.debug("could not write %s: %s", path, error)


def _remembered(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def recall_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `remember_arrays` kept; nothing where no file is, or a damaged one, which the log says."""
    try:
        # A zip file, which notices a flipped bit; opened here, because NumPy leaves a damaged one open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except FileNotFoundError:
        return {}
    except _DAMAGE as error:
        log.warning("%s cannot be read (%s); it is computed again", path, error)
        return {}


def remember_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keeps arrays in the file `path`, where that can be written."""
    try:
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:  # a full disk only costs the next start the time
        log.warning("%s could not be kept (%s); it will be computed again", path, error)


def force_to_disk(path: Path) -> None:
    """Waits until a file's contents, or a folder's names, have reached the disk."""
    if path.is_symlink():
        return
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def umask() -> int:
    """The permissions that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
