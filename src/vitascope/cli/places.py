"""What a word on the command line names, asked only where something is missing or may stand in another's place."""

from __future__ import annotations

import os
from pathlib import Path

from vitascope.data.open import recognise
from vitascope.errors import DataError


def is_data(word: str) -> bool:
    """Whether `word` names data and no checkpoint."""
    try:
        recognise(word)
    except DataError:
        return False
    return not (os.path.exists(word) and is_checkpoint(word))


def is_checkpoint(word: str) -> bool:
    """Whether a checkpoint may lie at `word`."""
    from vitascope.checkpoints import locate  # with torch, hence late

    return locate.is_checkpoint(Path(word))
