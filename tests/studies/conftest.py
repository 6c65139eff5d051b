"""What tests of studies share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_study import target


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders to fine-tune on and to be judged by; tests leave them as they are."""
    return target(tmp_path_factory.mktemp("target"))
