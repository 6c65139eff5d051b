"""What tests of studies get: the data of a tiny study, and on demand a line-up that trains in milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_study import shrink, target


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line-up is tiny_study.TINY."""
    shrink(monkeypatch)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders to fine-tune on and to be judged by; tests leave them as they are."""
    return target(tmp_path_factory.mktemp("target"))
