"""`start`: the weights that come with the package (`results/starts/`), for where there is no network."""

from __future__ import annotations

from pathlib import Path

from vitascope.checkpoints.named import Located
from vitascope.checkpoints.store import WEIGHTS
from vitascope.version import __version__
from vitascope.whole import sha256

FOLDER = Path(__file__).parents[1] / "start"


def fetch(*, cached: bool = False) -> Located:
    """The folder in the package, which is here whether `cached` or not."""
    told = {"name": "start", "vitascope": __version__, "sha256": {WEIGHTS: sha256(FOLDER / WEIGHTS)}}
    return Located(place=FOLDER, fetched=told)
