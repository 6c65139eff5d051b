"""Log lines that clients can cause: seldom, however many there are."""

from __future__ import annotations

import logging
import time


class Seldom(logging.Filter):
    """Lets each kind of message through once in `every` seconds, with the number of those left out since."""

    def __init__(self, every: float = 60.0) -> None:
        super().__init__()
        self._every = every
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`. A kind is a logger and the beginning of its message, since the rest may vary."""
        kind, now = (record.name, str(record.msg)[:40]), time.monotonic()
        last, left_out = self._seen.get(kind, (-self._every, 0))
        if now - last < self._every:
            self._seen[kind] = (last, left_out + 1)
            return False
        self._seen[kind] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it)", ()
        return True


def log_seldom(*names: str) -> None:
    """Puts one such filter before these loggers, in the place of an earlier one."""
    seldom = Seldom()
    for name in names:
        logger = logging.getLogger(name)
        logger.filters = [*(f for f in logger.filters if not isinstance(f, Seldom)), seldom]
