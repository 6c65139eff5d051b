"""Where things are kept that were fetched, converted or measured once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$VITASCOPE_CACHE, else ~/.cache/vitascope; it need not exist yet."""
    chosen = os.environ.get("VITASCOPE_CACHE")
    return Path(chosen or "~/.cache/vitascope").expanduser()
