"""An open file that one process at a time has, until it closes it or ends."""

from __future__ import annotations

import errno
import logging
from typing import IO, Any

log = logging.getLogger(__name__)


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
