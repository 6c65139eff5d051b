"""What campaigns share: a folder to do harm in, silence, and a count of outcomes."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ALLOWED = ("read", "loaded", "refused")


@contextmanager
def quiet_folder() -> Iterator[Path]:
    """A temporary folder; nothing is logged meanwhile."""
    logging.disable(logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    finally:
        logging.disable(logging.NOTSET)


def count(met: Counter[str], said: str, index: int) -> None:
    """One more outcome; a fault is told with its index."""
    met[said if said in ALLOWED else f"{index}: {said}"] += 1
