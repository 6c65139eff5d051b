"""What tests of a server get, which is a fixture `server` of each file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving import Served, png


@pytest.fixture
def still_serving(server: Served) -> Iterator[None]:
    """After whatever a test did, the next request is served and nothing is held."""
    yield
    assert server.client.post("/predict", content=png()).status_code == 200
    assert server.service.batcher.inside == 0
    assert server.service.intake.held == 0
