"""What the tests of recipes share: something to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint


@pytest.fixture
def start(tmp_path: Path) -> str:
    """A tiny ViT."""
    vs.save(checkpoint(TINY), tmp_path / "start")
    return str(tmp_path / "start")
