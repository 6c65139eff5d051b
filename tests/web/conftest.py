"""What tests of a server get, which is a fixture `server` of each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from learning import Tab
from serving import Served, png
from tiny import image_folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes."""
    return image_folder(tmp_path_factory.mktemp("images"), 24)


@pytest.fixture
def tab(server: Served) -> Iterator[Tab]:
    """One who teaches; nothing is held afterwards."""
    mine = Tab(server)
    yield mine
    assert mine.client.delete(mine.at).status_code == 200
    assert server.service.batcher.inside == 0
    assert server.service.intake.held == 0


@pytest.fixture
def still_serving(server: Served) -> Iterator[None]:
    """After whatever a test did, the next request is served and nothing is held."""
    yield
    assert server.client.post("/predict", content=png()).status_code == 200
    assert server.service.batcher.inside == 0
    assert server.service.intake.held == 0
