"""Files and folders that are either wholly there or not at all, whatever happens while they are written.

Everything is written under a temporary name beside the target, forced to the disk and then renamed. A folder
cannot replace another in one step: the old one steps aside first, and whoever reads in that instant, or after a
kill in that instant, is sent to it by `settled`.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vitascope.checkpoints.output import check_output
from vitascope.errors import CheckpointError, OutputError
from vitascope.whole import force_to_disk, umask, written_whole
from vitascope.wording import reason


@contextmanager
def atomic_folder(path: Path, *, what: str | None = None, overwrite: bool = False) -> Iterator[Path]:
    """Yields an empty folder that becomes `path`, a `what`, when the block ends without an error.

    Whatever goes wrong, `path` is as it was and the temporary folder is gone; only a killed process leaves one
    behind, which the next writer of `path` removes. What is there stays as `check_output` decides; a link stays one.
    Raises `CheckpointError` (exists, disk full, not permitted).
    """
    path = _target(path)
    with _as_checkpoint_error(path):
        if not path.exists() and _aside(path).exists():
            _aside(path).rename(path)  # a writer was killed between its two renames
        if path.is_file():
            raise OutputError(f"{path}: there is a file of this name; choose another name")
        check_output(path, what, overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_remains(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        with _as_checkpoint_error(path):
            temporary.chmod(0o777 & ~umask())
            yield temporary
            for folder, _, names in os.walk(temporary, topdown=False):
                for name in names:
                    force_to_disk(Path(folder, name))
                force_to_disk(Path(folder))
            if path.is_dir() and any(path.iterdir()):
                check_output(path, what, overwrite=overwrite)
                path.rename(_aside(path))
            elif path.is_dir():
                path.rmdir()
            temporary.rename(path)
            force_to_disk(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if not path.exists() and _aside(path).exists():
            _aside(path).rename(path)
        raise
    shutil.rmtree(_aside(path), ignore_errors=True)


@contextmanager
def atomic_file(path: Path, *, what: str | None = None, overwrite: bool = True) -> Iterator[Path]:
    """Yields the name of a file to write that becomes `path` when the block ends without an error.

    A killed process leaves the old file, or none, and a temporary file that the next writer removes. Otherwise as
    `atomic_folder`.
    """
    path = _target(path)
    with _as_checkpoint_error(path):
        if path.is_dir():
            raise OutputError(f"{path}: there is a folder of this name already; choose another name")
        check_output(path, what, overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_remains(path)
        with written_whole(path) as temporary:
            yield temporary


def settled(path: Path) -> Path:
    """Where the folder `path` is now: itself, or the old one put aside by a writer that has not finished."""
    return path if path.exists() or not _aside(path).exists() else _aside(path)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _target(path: Path) -> Path:
    """`path` with its own link followed, so that the link stays and what it leads to is replaced."""
    return Path(os.path.realpath(path) if path.is_symlink() else os.path.abspath(path))


def _clear_remains(path: Path) -> None:
    # What killed writers left. One target has one writer at a time.
    for remains in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if remains.is_dir() and not remains.is_symlink():
            shutil.rmtree(remains, ignore_errors=True)
        else:
            with suppress(OSError):
                remains.unlink()
    if path.exists():
        shutil.rmtree(_aside(path), ignore_errors=True)


@contextmanager
def _as_checkpoint_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space and save again" if full else "choose a place that can be written"
        why = "disk full" if full else reason(error)
        raise CheckpointError(f"{path}: cannot be written ({why}); {remedy}. What was there is unchanged") from error
