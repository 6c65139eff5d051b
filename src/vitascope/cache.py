"""Where things are kept that were fetched, converted or measured once."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from vitascope.whole import written_whole

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$VITASCOPE_CACHE, else ~/.cache/vitascope; it need not exist yet."""
    chosen = os.environ.get("VITASCOPE_CACHE")
    return Path(chosen or "~/.cache/vitascope").expanduser()


def recall(file: str, key: str) -> Any:
    """What `remember` kept, or None: nothing was, or the file cannot be read."""
    return _read(cache_folder() / file).get(key)


def remember(file: str, key: str, value: Any) -> None:
    """Keeps a JSON value under `key` in a file of the cache folder, where that can be written."""
    path = cache_folder() / file
    try:
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps({**_read(path), key: value}, indent=1))
    except OSError as error:  # a read-only home only costs the next start the time of measuring
        log.debug("could not write %s: %s", path, error)


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
